"""Cut source files into passages: the documents of the embedded model and of the embedded corpora.

A passage is a run of consecutive blocks of one file, at most `limit` tokens long. Blocks end at blank lines and before
definitions, so a passage starts where a reader would start reading. A passage ends with end-of-text unless it was cut
for length inside a block that is longer than the limit by itself.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tokenizers import Tokenizer

_DEFINITION = re.compile(r"\s*(?:@|def |class |async def )")


@dataclass(frozen=True)
class Passage:
    """One document.

    Attributes:
        text: the passage as it stands in the file, without surrounding blank lines.
        token_ids: its tokens, end-of-text included where `complete`.
        complete: whether the passage ends at a border (True) or was cut for length (False).
    """

    text: str
    token_ids: list[int]
    complete: bool


def blocks(text: str) -> Iterator[str]:
    """Split a file at blank lines and before definitions; the blocks joined give the file again."""
    block: list[str] = []
    previous = ""
    for line in text.splitlines(keepends=True):
        after_blank = bool(previous) and not previous.strip() and bool(line.strip())
        defines = bool(_DEFINITION.match(line)) and not previous.lstrip().startswith("@")
        if block and (after_blank or defines):
            yield "".join(block)
            block = []
        block.append(line)
        previous = line
    if block:
        yield "".join(block)


def cut(text: str, tokenizer: Tokenizer, eos_id: int, limit: int = 127) -> list[Passage]:
    """Cut one file into consecutive passages of at most `limit` tokens.

    Blocks are joined while their tokens and the closing end-of-text fit; the joined text is tokenised as one piece.
    """
    pieces = [piece for piece in blocks(text) if piece.strip()]
    sizes = [len(encoding.ids) for encoding in tokenizer.encode_batch(pieces, add_special_tokens=False)]
    joined: list[str] = []
    room = 0
    for piece, size in zip(pieces, sizes, strict=True):
        if joined and size < room:
            joined[-1] += piece
            room -= size
        else:
            joined.append(piece)
            room = limit - size
    bodies = [body.strip("\n") for body in joined]
    encodings = tokenizer.encode_batch(bodies, add_special_tokens=False)
    passages: list[Passage] = []
    for body, encoding in zip(bodies, encodings, strict=True):
        ids, offsets = encoding.ids, encoding.offsets
        start = 0
        while len(ids) - start >= limit:
            end = start + limit
            passages.append(Passage(body[offsets[start][0] : offsets[end - 1][1]], ids[start:end], complete=False))
            start = end
        if start < len(ids):
            passages.append(Passage(body[offsets[start][0] :], [*ids[start:], eos_id], complete=True))
    return passages


def normalised(text: str) -> str:
    """Text with every run of white space as one space: the key under which two passages count as the same."""
    return " ".join(text.split())


def all_passages(texts: Iterable[str], tokenizer: Tokenizer, eos_id: int, limit: int = 127) -> list[Passage]:
    """Cut several files, in the order given."""
    return [passage for text in texts for passage in cut(text, tokenizer, eos_id, limit)]
