"""`faithful study corpora`: how does each corpus lie to the model, and how diverse is it?"""
