"""Which documents are held out, and how many tokens of them."""

import numpy as np

from generation.sources.held_out import TEST_SHARE, share_of_hash

HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 20_000, 2_000_000


def test_tokens(train_tokens: int) -> int:
    """Budget of the held-out split: 5 % of the training budget, at least 20k and at most 2M tokens."""
    return int(min(max(HELD_OUT_SHARE * train_tokens, HELD_OUT_LEAST), HELD_OUT_MOST))


WINDOW = 16_384


def split_of(token_ids: np.ndarray) -> str:
    """`test` for one document in eight, by a hash of its tokens: equal documents always fall on the same side.

    Args:
        token_ids: integers [tokens], all that are kept but the end-of-text that closes them.
    """
    return "test" if share_of_hash(token_ids.astype("<u4").tobytes()) < TEST_SHARE else "train"
