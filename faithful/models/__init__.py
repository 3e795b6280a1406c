"""A causal LM: its presets, files, tokenizer, special ids and weights, and whether it is what we take it for."""
