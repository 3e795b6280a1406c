"""SAEs on disk: our files, SAELens', sparsify's and dictionary_learning's."""
