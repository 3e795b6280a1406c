"""First tokens against the model: `python -m benchmarks.first_token [--samples 20000]`.

20,000 samples of one token from each of the five families of `tests/families.py` (random weights, real tokenizers), through
both engines, each engine in a process of its own; χ² against q(·; BOS) as the certificate computes it, cells pooled to an
expectation of at least 5. About three minutes on two cores; one line per engine and family in
`benchmarks/results/first_token.jsonl`.
"""

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, one_thread, read_units, write_unit

SLOTS = 256
SAMPLINGS = {"T 1": {}, "T 0.8 top-p 0.95": {"temperature": 0.8, "top_p": 0.95}, "top-k 50": {"top_k": 50}}


def draw(engine_name: str, folder: Path, sampling_name: str, samples: int, output: Path) -> None:
    """First tokens of an engine; runs in a process of its own and writes counts by id."""
    one_thread()
    from faithful.models.load import load_model
    from faithful.models.spec import resolve_model
    from generation.sampling.distribution import Sampling
    from generation.sampling.engine import EngineSettings, Request
    from generation.sampling.seeds import sample_seed

    spec = resolve_model(str(folder))
    sampling = Sampling(max_tokens=1, **SAMPLINGS[sampling_name])
    if engine_name == "vllm":
        from generation.sampling.vllm_engine import VllmEngine, set_environment

        settings = EngineSettings("vllm", "cpu", threads=1, slots=SLOTS, shard_rows=512, deterministic=False)
        set_environment(settings)
        engine: Any = VllmEngine(spec, sampling, settings)
    else:
        from generation.sampling.transformers_engine import TransformersEngine

        engine = TransformersEngine(load_model(spec, "cpu"), spec, sampling, SLOTS)
    name = f"first/{engine_name}/{spec.name}/{sampling_name}"
    requests = (Request(i, sample_seed(0, name, i)) for i in range(samples))
    drawn = [sample.token_ids[0] for sample in engine.run(requests)]
    np.save(output, np.bincount(drawn, minlength=spec.vocab_size))


def against_model(folder: Path, sampling_name: str, counts: np.ndarray) -> dict[str, Any]:
    """χ² of the counts against q(·; BOS)."""
    from scipy.stats import chi2

    from faithful.models.load import load_model
    from faithful.models.spec import resolve_model
    from generation.certificate.p_values import pooled_cells
    from generation.sampling.distribution import Sampling
    from generation.scoring.scorer import Scorer

    spec = resolve_model(str(folder))
    q = Scorer(load_model(spec, "cpu"), spec, Sampling(max_tokens=1, **SAMPLINGS[sampling_name])).first_token()
    expected = q * counts.sum()
    cells = pooled_cells(expected)
    assert cells is not None
    labels, count = cells
    observed, wanted = (np.bincount(labels, weights=w, minlength=count) for w in (counts, expected))
    statistic = float(((observed - wanted) ** 2 / wanted).sum())
    return {
        "samples": int(counts.sum()),
        "chi2": statistic,
        "df": count - 1,
        "p": float(chi2.sf(statistic, count - 1)),
        "outside": int(counts[q == 0].sum()),
    }


def report(units: list[dict[str, Any]]) -> None:
    """Print the table."""
    from generation.certificate.p_values import holm

    corrected = holm({str(place): unit["p"] for place, unit in enumerate(units)})
    print(
        f"{'family':10} {'engine':13} {'sampling':17} {'samples':>7} {'chi2':>7} {'df':>4} {'p':>7} {'Holm':>6} outside"
    )
    for place, unit in enumerate(units):
        print(
            f"{unit['family']:10} {unit['engine']:13} {unit['sampling']:17} {unit['samples']:7} {unit['chi2']:7.1f}"
            f" {unit['df']:4} {unit['p']:7.4f} {corrected[str(place)]:6.3f} {unit['outside']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--samplings", nargs="+", choices=SAMPLINGS, default=["T 1"])
    parser.add_argument("--results", type=Path, default=RESULTS / "first_token.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    args = parser.parse_args()
    print(machine())
    if not args.report:
        measure(args)
    report(read_units(args.results))


def measure(args: argparse.Namespace) -> None:
    """Draw and compare what is not there yet."""
    one_thread()
    from tests.families import FAMILIES, build_family

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    done = {(unit["family"], unit["engine"], unit["sampling"]) for unit in read_units(args.results)}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {family: build_family(family, Path(scratch) / family) for family in FAMILIES}
        for sampling in args.samplings:
            for family, folder in folders.items():
                for engine in ("transformers", "vllm"):
                    if (family, engine, sampling) in done:
                        continue
                    output = Path(scratch) / "counts.npy"
                    context = multiprocessing.get_context("spawn")
                    process = context.Process(target=draw, args=(engine, folder, sampling, args.samples, output))
                    process.start()
                    process.join()
                    if process.exitcode:
                        raise SystemExit(f"{engine} ended with {process.exitcode} on {family}")
                    unit = {"family": family, "engine": engine, "sampling": sampling}
                    write_unit(args.results, unit | against_model(folder, sampling, np.load(output)))


if __name__ == "__main__":
    main()
