"""`faithful generate`: a model's own corpus, by workers that may die at any instant."""
