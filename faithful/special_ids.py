"""BOS and end-of-text: the ids that a model's files state."""

from typing import Any

from faithful.errors import FaithfulError


def as_ids(value: Any) -> list[int]:
    """The ids that a field states: none, one or several."""
    if value is None:
        return []
    return [int(i) for i in value] if isinstance(value, list | tuple) else [int(value)]


def find_bos(given: int | None, tokenizer: Any, config: Any, source: str) -> tuple[int, str]:
    """The token to start from, and where it was found.

    Raises:
        FaithfulError: there is none.
    """
    candidates = [
        ("--bos", given),
        ("tokenizer.bos_token_id", tokenizer.bos_token_id),
        ("config.bos_token_id", getattr(config, "bos_token_id", None)),
        ("tokenizer.eos_token_id", tokenizer.eos_token_id),
        ("config.eos_token_id", next(iter(as_ids(getattr(config, "eos_token_id", None))), None)),
    ]
    for name, value in candidates:
        if value is not None:
            return int(value), name
    raise FaithfulError(
        f"{source} names no BOS and no end-of-text token to start from; give the id of a start token with --bos."
    )
