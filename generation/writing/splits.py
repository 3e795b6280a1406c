"""The splits of a corpus: which documents are held out, and how many tokens each is to reach."""

import numpy as np

from faithful.models.presets import DEFAULT_TOKENS, find_preset
from faithful.store.corpus import Manifest
from generation.sources.held_out import TEST_SHARE, share_of_hash

HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 20_000, 2_000_000


def held_out_budget(train_tokens: int) -> int:
    """Budget of the held-out split: 5 % of the training budget, at least 20k and at most 2M tokens."""
    return int(min(max(HELD_OUT_SHARE * train_tokens, HELD_OUT_LEAST), HELD_OUT_MOST))


WINDOW = 16_384


def split_of(token_ids: np.ndarray) -> str:
    """`test` for one document in eight, by a hash of its tokens: equal documents always fall on the same side.

    Args:
        token_ids: integers [tokens], all that are kept but the end-of-text that closes them.
    """
    return "test" if share_of_hash(token_ids.astype("<u4").tobytes()) < TEST_SHARE else "train"


def budgets(manifest: Manifest, tokens: int | None, held_out: int | None) -> dict[str, int]:
    """Tokens to reach per split: what is asked for (None: nothing), else what was asked for last, else the preset's.

    The held-out budget follows the training budget by rule unless it was stated: that of a corpus with more training
    tokens than are asked for follows its own.
    """
    preset = find_preset(manifest.identity["model"]["name"])
    before = manifest.requested
    train = tokens or before["train"] or (preset.tokens if preset else DEFAULT_TOKENS)
    by_rule = before["test"] in (0, held_out_budget(before["train"]))
    reached = before["train"] if manifest.tokens("train") >= before["train"] else 0
    return {
        "train": train,
        "test": held_out or (held_out_budget(max(train, reached)) if by_rule else before["test"]),
    }


def largest_requested(manifest: Manifest, wanted: dict[str, int]) -> dict[str, int]:
    """The largest budget that each split reached or is to reach."""
    return {
        split: max(tokens, before) if manifest.tokens(split) >= (before := manifest.requested[split]) else tokens
        for split, tokens in wanted.items()
    }


def more_than(manifest: Manifest, tokens: int | None) -> str:
    """How to say that a corpus was asked for more than `tokens` before; '' where it was not, or where none are stated."""
    return f", more than the {tokens:,} asked for" if tokens and tokens < manifest.requested["train"] else ""
