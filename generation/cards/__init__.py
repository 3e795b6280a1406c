"""The card of a corpus: what its README says."""
