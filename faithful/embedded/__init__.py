"""The model and the texts that this package brings along."""
