"""Whether a corpus was sampled as it says: tests, their correction, the verdict."""
