"""`faithful study reconstruction`: how well does each SAE rebuild the activations of each corpus?"""
