"""Find the passages of the held-out source files that `tiny` was trained on: `python -m benchmarks.makers.find_seen`.

Needs the standard library that `tiny` was trained on (`training.json` names its version); writes `stdlib_seen.txt`.
"""

import json
from importlib import resources
from pathlib import Path

import zstandard
from tokenizers import Tokenizer

from benchmarks.makers.make_tiny import EOS_ID, held_out, source_files
from faithful.embedded.passages import all_passages
from faithful.embedded.stdlib_seen import passage_hash


def main() -> None:
    """Find them again and write them beside the embedded model."""
    here = Path(str(resources.files("faithful.embedded") / "tiny"))
    tokenizer = Tokenizer.from_file(str(here / "model" / "tokenizer.json"))
    train = [text for text in source_files().values() if not held_out(text)]
    seen = {passage_hash(passage.text) for passage in all_passages(train, tokenizer, EOS_ID)}
    lines = zstandard.ZstdDecompressor().decompress((here / "stdlib.jsonl.zst").read_bytes(), max_output_size=2**30)
    texts = [json.loads(line)["text"] for line in lines.splitlines()]
    found = {passage_hash(passage.text) for passage in all_passages(texts, tokenizer, EOS_ID)} & seen
    (here / "stdlib_seen.txt").write_text("".join(f"{key}\n" for key in sorted(found)), encoding="ascii")


if __name__ == "__main__":
    main()
