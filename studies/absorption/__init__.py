"""`faithful study absorption`: where is the latent of a parent silent because one of a child stands in for it?"""
