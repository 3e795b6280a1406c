"""What lies on disk: runs, corpora and their rows of tokens, trained SAEs."""
