"""TopK sparse autoencoders: one SAE, and a stack that trains together."""
