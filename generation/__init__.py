"""Corpora: sampled from a model, taken from others, made of one another; their certificate, statistics and cards."""
