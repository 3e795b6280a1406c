"""A local server that speaks the Hub's wire protocol to the real clients."""
