"""One page: the answer, the studies, how to make them again."""
