"""Tokenising for `corpus add` beside `datasets.map(batched=True)`: `python -m benchmarks.bench_tokenise` (about 5 minutes).

The same tokenizer (that of `tiny`), the same texts, the same ids wanted of each: the first 127 tokens of a document. Both use
every core. Our path gives what `corpus add` writes: ids with the end-of-text rule, the split by hash, windows in shuffled
order. Theirs gives the ids alone, into an Arrow file. In turns in one process, after one round that is not counted; the
ratio is taken per round. Peak memory in a process of its own for each path, with the long texts and with ten times as many.
Last the whole of `corpus add`, with statistics, round trips and Parquet.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.shared import machine

LIMIT = 127
CHARACTERS = {"short": 350, "long": 20_000}


class InMemory:
    """Rows of a list of texts."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.dropped = texts, dict[str, int]()

    def __iter__(self) -> Iterator[Any]:
        from generation.sources.source import Row

        return (Row(str(place), text, "prose") for place, text in enumerate(self.texts))

    def state(self) -> dict[str, Any]:
        return {}


def texts_of(kind: str, times: int = 1) -> list[str]:
    """The novels in pieces: short ones that fit into a document, long ones of which a document is the beginning.

    Repetitions begin one character later each, so that no text comes twice.
    """
    import zstandard

    packed = (files("faithful.embedded") / "texts" / "prose.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().decompress(packed, max_output_size=2**30).splitlines()
    text, size = "".join(json.loads(line)["text"] for line in lines), CHARACTERS[kind]
    return [text[begin : begin + size] for shift in range(times) for begin in range(shift, len(text) - size, size)]


def ours(texts: list[str]) -> dict[str, list[int]]:
    """Ids of each document, end-of-text left out, by `windows`; text by number."""
    from faithful.models.spec import resolve_model
    from faithful.models.tokenizer import load_tokenizer
    from generation.external.encoder import Encoder, parallel_tokenising
    from generation.external.windows import Cutter, windows

    spec = resolve_model("tiny")
    encoder = Encoder(load_tokenizer(spec.source, None), spec, LIMIT)
    began = time.perf_counter()
    with parallel_tokenising():
        units = [unit for window in windows(lambda state: InMemory(texts), Cutter(encoder), 0) for unit in window.units]
    RATES["ours"].append(sum(len(unit.token_ids) - unit.closed for unit in units) / (time.perf_counter() - began))
    return {unit.doc_id: unit.token_ids[: len(unit.token_ids) - unit.closed].tolist() for unit in units}


def theirs(texts: list[str]) -> dict[str, list[int]]:
    """The same by `datasets.map`."""
    import datasets

    from faithful.models.presets import tiny_path
    from faithful.models.tokenizer import load_tokenizer

    datasets.disable_progress_bars()
    tokenizer = load_tokenizer(str(tiny_path()), None)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"

    def tokenise(batch: dict[str, list[str]]) -> dict[str, Any]:
        options = {"add_special_tokens": False, "truncation": True, "max_length": LIMIT, "return_attention_mask": False}
        return {"input_ids": tokenizer(batch["text"], **options, split_special_tokens=True)["input_ids"]}

    with tempfile.TemporaryDirectory() as scratch:
        data = datasets.Dataset.from_dict({"text": texts})
        began = time.perf_counter()
        made = data.map(
            tokenise,
            batched=True,
            remove_columns=["text"],
            cache_file_name=f"{scratch}/ids.arrow",
            new_fingerprint="ids",
        )
        seconds = time.perf_counter() - began
        ids = made["input_ids"][:]
    RATES["theirs"].append(sum(map(len, ids)) / seconds)
    return {str(place): row for place, row in enumerate(ids)}


PATHS = {"ours": ours, "theirs": theirs}
RATES: dict[str, list[float]] = {"ours": [], "theirs": []}


def compare(kind: str, rounds: int) -> None:
    """Both paths in turns; asserts that they give the same ids."""
    texts = texts_of(kind)
    results = [path(texts) for path in PATHS.values()]
    assert results[0] == results[1]
    for rates in RATES.values():
        rates.clear()
    for number in range(rounds):
        for name in list(PATHS)[:: 1 if number % 2 else -1]:
            PATHS[name](texts)
    ratios = sorted(one / other for one, other in zip(RATES["ours"], RATES["theirs"], strict=True))
    shown = ", ".join(f"{name} {median(rates) / 1e6:.3f} M tokens/s" for name, rates in RATES.items())
    print(
        f"{kind} ({len(texts):,} texts of {CHARACTERS[kind]:,} characters): {shown}; ratio {median(ratios):.2f}"
        f" ({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds); the ids are equal"
    )


def peak_here() -> int:
    """Peak KiB of this process' own memory (`ru_maxrss` would count the parent's, too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def peak(path: str, times: int) -> float:
    """Peak MiB of a process that tokenises the long texts, each in so many versions."""
    code = (
        "import sys\nfrom benchmarks import bench_tokenise as bench\n"
        "bench.PATHS[sys.argv[1]](bench.texts_of('long', int(sys.argv[2])))\n"
        "print(bench.peak_here())"
    )
    arguments = [sys.executable, "-c", code, path, str(times)]
    return int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout) / 1024


def whole_add(tokens: int) -> None:
    """Rate of `corpus add` on the embedded prose, and the peak memory of its process."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom benchmarks.bench_tokenise import peak_here\n"
        "from generation.external.add import add\nfrom generation.configs.add import AddConfig\n"
        "if __name__ == '__main__':\n"
        "    add(AddConfig('prose', tokens=int(sys.argv[1]), out=Path(sys.argv[2]) / 'prose'))\n"
        "    print(peak_here())"
    )
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tokens), scratch], capture_output=True, text=True, check=True
        )
        record = json.loads((Path(scratch) / "prose" / "log.jsonl").read_text())
    print(
        f"corpus add prose, {record['tokens']:,} tokens written: {record['tokens_per_second'] / 1e6:.3f} M tokens/s with"
        f" statistics and Parquet; peak of the process {int(done.stdout) / 1024:.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(f"{machine()}, tokenizers {version('tokenizers')}, datasets {version('datasets')}")
    print(f"load averages {os.getloadavg()}; this process' own share counts")
    for kind in CHARACTERS:
        compare(kind, args.rounds)
    for name in PATHS:
        small, large = peak(name, 1), peak(name, 10)
        print(f"{name}: peak of a process {small:.0f} MiB with 4 MB of long texts, {large:.0f} MiB with 40 MB")
    whole_add(1_000_000)


if __name__ == "__main__":
    main()
