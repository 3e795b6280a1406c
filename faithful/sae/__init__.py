"""TopK sparse autoencoders: one SAE, a stack that trains together, and the files everyone loads."""
