"""The stream of activations of a corpus, mixed as training takes it, and what replacing them by others does to the model."""
