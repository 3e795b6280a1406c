"""Peak memory against corpus size, and the rates of statistics and scoring (about 10 minutes on 2 cores).

Memory: `faithful generate` on `tiny` with 20k and with 2M tokens, peak resident size of the largest process.
Rates: count-type statistics (target ≥ 10M tokens/s per core), curves, near-duplicates, scoring and its share of the bare
forward pass, on the larger corpus.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import machine

CHILD = """
import resource, sys
from pathlib import Path
from generation.own.generate import generate
from generation.configs.generate import GenerateConfig
if __name__ == "__main__":
    generate(GenerateConfig(model="tiny", out=Path(sys.argv[1]), tokens=int(sys.argv[2]), workers=2))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"PEAK {own} {workers}")
"""


def peak(folder: Path, tokens: int) -> tuple[int, int, float]:
    """Peak resident KiB of the coordinator and of the largest worker, and seconds."""
    script = folder.parent / "child.py"
    script.write_text(CHILD)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(tokens)], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    line = next(line for line in done.stdout.splitlines() if line.startswith("PEAK"))
    own, workers = map(int, line.split()[1:])
    return own, workers, seconds


def rate(function: Callable[[], Any], tokens: int, repeats: int = 3) -> list[float]:
    """Tokens per second of CPU time in several runs, rising."""
    rates = []
    for _ in range(repeats):
        began = resource.getrusage(resource.RUSAGE_SELF)
        function()
        ended = resource.getrusage(resource.RUSAGE_SELF)
        rates.append(tokens / (ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime))
    return sorted(rates)


def show(name: str, rates: list[float]) -> None:
    """Print the median and spread of some rates."""
    low, middle, high = (rates[place] / 1e6 for place in (0, len(rates) // 2, -1))
    print(f"{name}: {middle:.3g} M tokens/s of CPU time ({low:.3g} to {high:.3g})")


def count(corpus: Any, vocab_size: int) -> None:
    """Lengths, unigrams and exact duplicates of a corpus, read from its files."""
    from faithful.store.corpus import flat_tokens
    from generation.writing.statistics import Duplicates

    duplicates = Duplicates(corpus.manifest.rows())
    lengths, unigrams = np.zeros(0, np.int64), np.zeros(vocab_size, np.int64)
    for batch in corpus.batches("train", ["token_ids"]):
        tokens, offsets = flat_tokens(batch)
        unigrams += np.bincount(tokens, minlength=vocab_size)
        more = np.bincount(np.diff(offsets), minlength=len(lengths))
        more[: len(lengths)] += lengths
        lengths = more
        duplicates.add(tokens, offsets)
    duplicates.rate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=2_000_000)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        for tokens in (20_000, args.large):
            own, workers, seconds = peak(Path(scratch) / str(tokens), tokens)
            print(
                f"{tokens:,} tokens: coordinator {own / 1024:.0f} MiB, worker {workers / 1024:.0f} MiB, {seconds:.0f} s"
            )
        from faithful.store.corpus import Corpus
        from generation.writing.near_duplicates import near_duplicates
        from generation.writing.sketches import Diversity

        corpus = Corpus(Path(scratch) / str(args.large))
        total = corpus.tokens()
        vocab = corpus.manifest.identity["model"]["vocab_size"]
        documents = list(corpus.documents())
        tokens_ = np.concatenate(documents)
        offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
        show("lengths, unigrams, exact duplicates (reading included)", rate(lambda: count(corpus, vocab), total))
        show("diversity curves", rate(lambda: Diversity(vocab, [10**5, total]).add(tokens_, offsets), total))
        show("near-duplicates", rate(lambda: near_duplicates(tokens_, offsets), total))
        bench_scoring(corpus)


def bench_scoring(corpus: Any) -> None:
    """Rate of scoring, and its share of the limit that the bare forward pass sets: logits alone, nothing done with them."""
    import torch

    from faithful.models.load import load_model
    from generation.certificate.score_part import score_part
    from generation.scoring.scored_part import choose_part
    from generation.scoring.scorer import Scorer
    from generation.writing.identity import sampling_of, spec_of

    torch.set_num_threads(1)
    spec, sampling = spec_of(corpus.manifest), sampling_of(corpus.manifest)
    model = load_model(spec, "cpu")
    part = choose_part(corpus, "train", 40_000)
    tokens = sum(map(len, part.documents))
    batches = [[part.documents[i] for i in batch] for batch in Scorer(model, spec, sampling).batches(part.documents)]
    inputs = [torch.zeros(len(batch), max(map(len, batch)), dtype=torch.int64) for batch in batches]

    @torch.inference_mode()
    def forward() -> None:
        for ids in inputs:
            model(input_ids=ids, use_cache=False)

    limit = rate(forward, tokens)
    scoring = rate(lambda: score_part(part, model, spec, sampling, as_declared=True), tokens)
    show("bare forward pass", limit)
    show("scoring", scoring)
    print(f"scoring is {scoring[len(scoring) // 2] / limit[len(limit) // 2]:.0%} of the forward pass's rate")


if __name__ == "__main__":
    main()
