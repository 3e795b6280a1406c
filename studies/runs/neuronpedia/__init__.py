"""Latents at Neuronpedia: what is uploaded of a run's SAEs, written to files first, then sent through its client."""
