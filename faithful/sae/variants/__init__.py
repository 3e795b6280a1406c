"""The variants of the SAE, each a file and called by its name; see `faithful.sae.variant`."""
