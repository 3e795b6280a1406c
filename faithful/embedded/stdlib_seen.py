"""Which passages of the held-out source files stand in `tiny`'s training files too.

The held-out files share licence headers and small idioms with the files that `tiny` was trained on. `stdlib_seen.txt`
holds a short hash of each such passage, found once with the standard library that `training.json` names, so that the
embedded corpus `stdlib` can leave them out wherever it is made (`python -m benchmarks.makers.find_seen`).
"""

import hashlib
from functools import cache
from importlib import resources

from faithful.embedded.passages import normalised

_DIGEST = 8


def passage_hash(text: str) -> str:
    """Hex hash of a passage, white space aside."""
    return hashlib.blake2b(normalised(text).encode(), digest_size=_DIGEST).hexdigest()


@cache
def seen_passages() -> frozenset[str]:
    """Hashes of the held-out passages, as cut for `tiny`, whose text occurs among its training passages."""
    return frozenset(
        (resources.files("faithful.embedded") / "tiny" / "stdlib_seen.txt").read_text(encoding="ascii").split()
    )
