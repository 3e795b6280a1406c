"""Token ids against the vocabulary that they are of: none outside is written, and none is read."""

from typing import Any

import pyarrow.compute as pc

from faithful.base.errors import FaithfulError


def refuse_outside(ids: Any, vocab_size: int, where: str) -> None:
    """Make sure that every id of an Arrow array of integers, chunked or not, lies in [0, vocab_size).

    Raises:
        FaithfulError: one does not; names it and where it stands.
    """
    bounds = pc.min_max(ids).as_py()
    least, largest = bounds["min"], bounds["max"]
    if largest is not None and not 0 <= least <= largest < vocab_size:
        wrong = largest if largest >= vocab_size else least
        raise FaithfulError(
            f"{where} holds the token id {wrong}, and the vocabulary of its model ends at {vocab_size - 1}; make the corpus"
            " again."
        )
