"""Frozen prose for comparison corpora that need no network; PROVENANCE.md says where it is from."""
