"""Where activations are read in a causal LM, and what passes there."""
