"""SAEs on disk: our files, SAELens' and sparsify's."""
