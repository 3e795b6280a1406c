"""Peak memory against corpus size, and the rates of statistics and scoring (about 10 minutes on 2 cores).

Memory: `faithful generate` on `tiny` with 20k and with 2M tokens, peak resident size of the largest process.
Rates: count-type statistics (target ≥ 10M tokens/s per core), curves, near-duplicates, scoring, on the larger corpus.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.shared import machine

CHILD = """
import resource, sys
from pathlib import Path
from generation.generate import generate
from generation.prepare import GenerateConfig
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


def rate(function: object, tokens: int, repeats: int = 3) -> str:
    """Tokens per second of CPU time, best and spread of several runs."""
    rates = []
    for _ in range(repeats):
        began = resource.getrusage(resource.RUSAGE_SELF)
        function()  # type: ignore[operator]
        ended = resource.getrusage(resource.RUSAGE_SELF)
        rates.append(tokens / (ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime))
    low, middle, high = (sorted(rates)[place] / 1e6 for place in (0, len(rates) // 2, -1))
    return f"{middle:.3g} M tokens/s of CPU time ({low:.3g} to {high:.3g})"


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
        from faithful.corpus import Corpus
        from generation.near_duplicates import near_duplicates
        from generation.statistics import count_statistics, diversity_curves

        corpus = Corpus(Path(scratch) / str(args.large))
        total = corpus.tokens()
        vocab = corpus.manifest.identity["model"]["vocab_size"]
        documents = list(corpus.documents())
        tokens_ = np.concatenate(documents)
        offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
        print(f"counts (reading included): {rate(lambda: count_statistics(corpus, 'train', vocab), total)}")
        print(f"diversity curves: {rate(lambda: diversity_curves(tokens_, offsets, vocab), total)}")
        print(f"near-duplicates: {rate(lambda: near_duplicates(tokens_, offsets), total)}")
        bench_scoring(corpus)


def bench_scoring(corpus: object) -> None:
    """Scoring rate, and the share of it that the forward pass alone would take."""
    import torch

    from faithful.model import load_model
    from generation.certify import choose_part, score_part
    from generation.identity import sampling_of, spec_of
    from generation.scoring import Scorer

    torch.set_num_threads(1)
    manifest = corpus.manifest  # type: ignore[attr-defined]
    spec, sampling = spec_of(manifest), sampling_of(manifest)
    model = load_model(spec, "cpu")
    part = choose_part(corpus, "train", 40_000)  # type: ignore[arg-type]
    count = sum(map(len, part.documents))
    scorer = Scorer(model, spec, sampling)
    forward = rate(
        lambda: [scorer.log_p([part.documents[i] for i in b]) for b in scorer.batches(part.documents)], count, 2
    )
    print(f"forward pass and log p: {forward}")
    print(f"scoring: {rate(lambda: score_part(part, model, spec, sampling, as_declared=True), count, 2)}")


if __name__ == "__main__":
    main()
