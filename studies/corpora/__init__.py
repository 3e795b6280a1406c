"""`faithful study corpora`: how far is each corpus from the model's own text, and how diverse is it?"""
