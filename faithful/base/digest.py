"""One hash of values: what they decide (an SAE, a corpus, a kept result) is named by it."""

import hashlib
import json
from typing import Any


def digest(value: Any, *more: bytes, is_compact: bool = False) -> str:
    """SHA-256 of a value's canonical JSON: ASCII, keys sorted, `", "` and `": "` between.

    Args:
        value: JSON.
        more: bytes that are hashed after it.
        is_compact: no blanks between, and numbers that are not finite are refused (ValueError): the form of records' seals.
    """
    separators = (",", ":") if is_compact else None
    told = json.dumps(value, sort_keys=True, separators=separators, allow_nan=not is_compact)
    return hashlib.sha256(b"".join((told.encode(), *more))).hexdigest()
