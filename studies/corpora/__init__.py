"""`faithful study corpora`: how far does each corpus lie outside the model, and how diverse is it?"""
