"""Whole runs: recipes, what they cost, what of them is published."""
