"""Drawing tokens: the distribution q, its random numbers, and the two engines."""
