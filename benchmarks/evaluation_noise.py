"""How much of a figure is the evaluation's own noise: `python -m benchmarks.evaluation_noise RUN [--reseeds 2 --seeds 3]`.

Each study of a finished run that draws anything is done again with other seeds (probes, folds, examples, random tokens,
questions), its SAEs held fixed. Written to docs/evaluation-noise.md for each figure: its spread over these reseeds (standard
deviation, root mean square over SAEs), beside its spread over SAEs that differ in their init seed alone (root mean square
over corpora, the evaluation held fixed). Before them headlines whose studies resample what they drew, as the run has them.
What is done is kept beside the run, in RUN/studies/.noise.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import machine
from faithful.base.files import write_text
from faithful.base.progress import silent
from faithful.hub.card_file import markdown_table
from faithful.store.saes import by_shape, find_saes
from studies.catalog import KNOWN
from studies.common.results import read_summary

PAGE = Path(__file__).parents[1] / "docs" / "evaluation-noise.md"
Values = dict[tuple[str, str, int], float]
"""By corpus, shape and seed of the SAE."""
FIGURES: dict[str, tuple[tuple[str, float | None], ...]] = {
    "probes": (("accuracy", None), ("accuracy_kK", 10.0)),
    "fakes": (("fake_contrast", None), ("fake_notes", None)),
    "absorption": (),
    "sparsity": (),
    "unlearning": (("unlearned", None), ("best_of_all", None)),
    "interventions": (("scr", 10.0), ("tpp", 10.0)),
}
"""Of each study that draws something, its figures with their parameter; () takes the headline."""
RESAMPLED = {
    "reconstruction": "ce_recovered", "seeds": "shared_feature_ratio", "probes": "accuracy", "fakes": "fake_contrast",
    "unlearning": "unlearned",
}  # fmt: skip
"""Headlines whose noise the run's own study says, by resamples of the examples, contexts or questions."""
INTRODUCTION = """# The noise of the evaluations

Made by `python -m benchmarks.evaluation_noise` on a finished run ({run}), {reseeds} reseeds of those done again. {machine}.

*Over reseeds*: standard deviation of a figure of one SAE over reseeds of its evaluation (probes and folds, examples, random
tokens, questions), root mean square over SAEs. *Over SAE seeds*: standard deviation over SAEs that differ in their init seed
alone, root mean square over corpora and reseeds; it holds the noise of the evaluation as far as that differs from SAE to SAE.
Where the first is the larger one, more SAEs do not help: draw more examples. What all SAEs share of a draw cancels where they
are contrasted. Rows marked *resampled* are of the run's own studies: there the first is the standard error, over resamples of
the test examples, contexts or questions, of the mean over a corpus' SAEs (none for seeds, whose matching is exact).
[metrics.md](metrics.md) says what each figure means.
"""


def main() -> None:
    """Do the studies again, and write the page, anew after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--reseeds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="SAEs of each corpus and shape")
    parser.add_argument("--studies", default=",".join(FIGURES), help="done again")
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    begun, rows, lacking = time.perf_counter(), list[tuple[str, ...]](), list[str]()
    saes = [sae for of in by_shape(find_saes([told.run / "saes"])).values() for sae in of]
    chosen = tuple(sae.folder for sae in saes if sae.seed is not None and sae.seed < told.seeds)
    header = ("study", "figure", "mean", "SAEs", "over reseeds", "over SAE seeds", "reseeds / SAE seeds")
    for name in RESAMPLED:
        if (told.run / "studies" / name / "summary.json").exists():
            rows.append(resampled(told.run, name))
        else:
            lacking.append(name)
    for name in told.studies.split(","):
        rows += reseeded(told.run, name, told.reseeds, chosen)
        print(f"{name}: {(time.perf_counter() - begun) / 60:.1f} minutes so far", flush=True)
        said = INTRODUCTION.format(run=told.run.name, reseeds=told.reseeds, machine=machine())
        missing = f"\nNot done: {', '.join(lacking)}.\n" if lacking else ""
        write_text(told.page, f"{said}\n{markdown_table(header, rows)}\n{missing}")


def reseeded(run: Path, name: str, reseeds: int, saes: tuple[Path, ...]) -> list[tuple[str, ...]]:
    """A row per figure of a study, done once more per seed as the run was told."""
    study = KNOWN[name]
    config, _ = study.configure(run / "studies" / name, {"saes": (run / "saes",)})
    folders = []
    for seed in range(reseeds):
        out = run / "studies" / ".noise" / f"{name}-{seed}"
        study.load()(replace(config, saes=saes, out=out, seed=seed), silent)
        folders.append(out)
    wanted = FIGURES[name] or (((study.headline.metric, None),) if study.headline else ())
    rows = []
    for metric, parameter in wanted:
        values = [READERS.get(name, by_sae)(folder, metric, parameter) for folder in folders]
        label = metric if parameter is None else f"{metric.removesuffix('_kK')}, {parameter:g} latents"
        rows.append((name, label, *spreads(values)))
    return rows


def by_sae(folder: Path, metric: str, parameter: float | None) -> Values:
    """A figure of every SAE, on no part of the text alone."""
    import polars as pl

    table = pl.read_parquet(folder / "results.parquet").filter(
        (pl.col("metric") == metric) & pl.col("other").is_null() & pl.col("value").is_not_null()
    )
    table = table.filter(pl.col("parameter").is_null() if parameter is None else pl.col("parameter") == parameter)
    return {(row["corpus"], row["shape"], row["seed"]): row["value"] for row in table.iter_rows(named=True)}


def of_probes(folder: Path, metric: str, parameter: float | None) -> Values:
    """Accuracy of every SAE, mean over the tasks that are not marked: of all training examples, or of k-sparse probes."""
    import polars as pl

    table = pl.read_parquet(folder / "results.parquet")
    found: dict[tuple[str, str, int], list[float]] = {}
    for task in read_summary(folder / "summary.json")["unmarked"]:  # type: ignore[typeddict-item]
        of = table.filter(pl.col("metric") == f"{'' if parameter is None else 'k_sparse_'}accuracy:{task}:f")
        at = of["parameter"].max() if parameter is None else parameter
        for row in of.filter(pl.col("parameter") == at).iter_rows(named=True):
            found.setdefault((row["corpus"], row["shape"], row["seed"]), []).append(row["value"])
    return {sae: float(np.mean(values)) for sae, values in found.items()}


READERS: Mapping[str, Callable[[Path, str, float | None], Values]] = {"probes": of_probes}


def spreads(values: list[Values]) -> tuple[str, ...]:
    """Mean, number of SAEs, both spreads and their ratio, of the SAEs that have the figure under every seed."""
    saes = sorted(set.intersection(*(set(one) for one in values)))
    if not saes:
        return ("–", "0", "–", "–", "–")
    table = np.array([[one[sae] for one in values] for sae in saes])
    over_reseeds = float(np.sqrt(table.var(1, ddof=1).mean())) if table.shape[1] > 1 else float("nan")
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (corpus, shape, _) in enumerate(saes):
        groups.setdefault((corpus, shape), []).append(place)
    several = [table[places].var(0, ddof=1) for places in groups.values() if len(places) > 1]
    over_seeds = float(np.sqrt(np.mean(several))) if several else float("nan")
    ratio = over_reseeds / over_seeds if over_seeds else float("nan")
    return (f"{table.mean():.4f}", str(len(saes)), f"{over_reseeds:.4f}", f"{over_seeds:.4f}", f"{ratio:.2f}")


def resampled(run: Path, name: str) -> tuple[str, ...]:
    """A row of a study as the run has it: its standard error over resamples of what was drawn, and the spread over SAEs."""
    import polars as pl

    folder, metric = run / "studies" / name, RESAMPLED[name]
    found: Any = [one[metric] for one in read_summary(folder / "summary.json")["corpora"].values() if metric in one]
    drawn = [one["error_drawn"] for one in found if one.get("error_drawn") is not None]
    error = float(np.mean(drawn)) if drawn else 0.0
    if name == "seeds":
        table = pl.read_parquet(folder / "results.parquet").filter(
            (pl.col("metric") == metric) & pl.col("other").is_null()
        )
        values = {(row["corpus"], row["shape"], at): row["value"] for at, row in enumerate(table.iter_rows(named=True))}
    elif name == "reconstruction":
        table = pl.read_parquet(folder / "results.parquet").filter(
            (pl.col("metric") == metric) & (pl.col("other") == "panel")
        )
        table = table.filter(pl.col("parameter").is_null() | (pl.col("parameter") == table["parameter"].max()))
        values = {(row["corpus"], row["shape"], row["seed"]): row["value"] for row in table.iter_rows(named=True)}
    else:
        values = READERS.get(name, by_sae)(folder, metric, None)
    mean, saes, _, over_seeds, _ = spreads([values])
    ratio = f"{error / float(over_seeds):.2f}"
    return (
        name,
        metric,
        mean,
        f"{saes} pairs" if name == "seeds" else saes,
        f"{error:.4f} (resampled)",
        over_seeds,
        ratio,
    )


if __name__ == "__main__":
    main()
