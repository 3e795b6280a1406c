"""Log-probabilities of documents under their model, chunk by chunk, and what they are scored beside."""
