"""Which side of a corpus a text falls on when it is cut into passages: all its passages on one.

Passages of one file, novel or article share names, phrases and boilerplate: held-out ones beside training ones of the same
text would tell how well a text is remembered, not how well a kind of text is known.
"""

import hashlib
from collections.abc import Collection, Mapping

TEST_SHARE = 1 / 8


def share_of_hash(content: bytes) -> float:
    """A number in [0, 1) that depends on the bytes alone, uniform over contents."""
    digest = hashlib.blake2b(content, digest_size=8, person=b"faithful split").digest()
    return int.from_bytes(digest, "big") / 2**64


def side_of_text(text: str, name: str, held_out: Collection[str]) -> str:
    """`train` or `test` for all passages of a text: by its name where the source says which are held out, else by a hash.

    Args:
        text: all of it; equal texts fall on one side.
        name: what the source calls it.
        held_out: names of those that are held out, empty where the source does not say.
    """
    is_test = name in held_out if held_out else share_of_hash(text.encode()) < TEST_SHARE
    return "test" if is_test else "train"


def choose_held_out(texts: Mapping[str, tuple[str, int]], share: float = TEST_SHARE) -> tuple[str, ...]:
    """Names of the texts to hold out of those of a source that are known beforehand.

    In an order that their contents decide, each that still fits into the share of their bytes; the smallest where none
    does. Equal texts count as one, empty ones as none.

    Args:
        texts: name → (sha256 of its content, bytes).
        share: of all bytes, at most, where that is possible.

    Returns:
        Sorted, at least one of two different texts and never all; () where there are no two.
    """
    sizes: dict[str, int] = {}
    for content, size in texts.values():
        if size:
            sizes[content] = sizes.get(content, 0) + size
    if len(sizes) < 2:
        return ()
    room = int(sum(sizes.values()) * share)
    chosen: set[str] = set()
    for content in sorted(sizes, key=lambda sha256: share_of_hash(sha256.encode())):
        if sizes[content] <= room:
            chosen.add(content)
            room -= sizes[content]
    chosen = chosen or {min(sizes, key=lambda content: (sizes[content], content))}
    return tuple(sorted(name for name, (content, _) in texts.items() if content in chosen))
