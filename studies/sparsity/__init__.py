"""`faithful study sparsity`: do decoder rows overlap, how often does each latent fire, and which k is right?"""
