"""Which passages of the held-out source files stand in `tiny`'s training files too: `python -m faithful.tiny.stdlib_seen`.

The held-out files share licence headers and small idioms with the files that `tiny` was trained on. `stdlib_seen.txt`
holds a short hash of each such passage, found once with the standard library that `training.json` names, so that the
embedded corpus `stdlib` can leave them out wherever it is made.
"""

import hashlib
import json
from functools import cache
from importlib import resources

from faithful.tiny.passages import all_passages, normalised

_DIGEST = 8


def passage_hash(text: str) -> str:
    """Hex hash of a passage, white space aside."""
    return hashlib.blake2b(normalised(text).encode(), digest_size=_DIGEST).hexdigest()


@cache
def seen_passages() -> frozenset[str]:
    """Hashes of the held-out passages, as cut for `tiny`, whose text occurs among its training passages."""
    return frozenset((resources.files("faithful") / "tiny" / "stdlib_seen.txt").read_text(encoding="ascii").split())


def main() -> None:
    """Find them again and write them beside this file; needs the standard library that `tiny` was trained on."""
    from pathlib import Path

    import zstandard
    from tokenizers import Tokenizer

    from faithful.tiny.train import EOS_ID, held_out, source_files

    here = Path(__file__).parent
    tokenizer = Tokenizer.from_file(str(here / "model" / "tokenizer.json"))
    train = [text for text in source_files().values() if not held_out(text)]
    seen = {passage_hash(passage.text) for passage in all_passages(train, tokenizer, EOS_ID)}
    lines = zstandard.ZstdDecompressor().decompress((here / "stdlib.jsonl.zst").read_bytes(), max_output_size=2**30)
    texts = [json.loads(line)["text"] for line in lines.splitlines()]
    found = {passage_hash(passage.text) for passage in all_passages(texts, tokenizer, EOS_ID)} & seen
    (here / "stdlib_seen.txt").write_text("".join(f"{key}\n" for key in sorted(found)), encoding="ascii")


if __name__ == "__main__":
    main()
