"""Corpora made of corpora: mixed, shuffled, subsampled, freed of duplicates."""
