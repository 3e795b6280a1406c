"""How much of a figure is the evaluation's own noise: `python -m benchmarks.evaluation_noise RUN [--reseeds 3]`.

Each study of a finished run that draws anything is done again with other seeds (probes, folds, examples, random tokens,
questions), its SAEs held fixed. Written to docs/evaluation-noise.md for each figure: its spread over these reseeds (standard
deviation, root mean square over SAEs), beside its spread over SAEs that differ in their init seed alone (root mean square
over corpora, the evaluation held fixed). Studies that draw nothing but text have no spread over reseeds; for them the
standard error of the contexts drawn stands there. What is done is kept beside the run, in RUN/studies/.noise.
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
from studies.catalog import find_study
from studies.common.results import read_summary
from studies.common.tables import Table

PAGE = Path(__file__).parents[1] / "docs" / "evaluation-noise.md"
Values = dict[tuple[str, str, int], float]
"""By corpus, shape and seed of the SAE."""
FIGURES: dict[str, tuple[tuple[str, float | None], ...]] = {
    "probes": (("accuracy", None), ("accuracy_kK", 10.0)),
    "fakes": (("fake_contrast", None), ("fake_notes", None), ("l0_noise", None)),
    "absorption": (),
    "sparsity": (),
    "unlearning": (("unlearned", None), ("best_of_all", None)),
    "interventions": (("scr", 10.0), ("tpp", 10.0)),
}
"""Of each study that draws something, its figures with their parameter; () takes the headline."""
OF_TEXT = {"reconstruction": "ce_recovered", "seeds": "shared_feature_ratio"}
"""Studies whose figures depend on SAEs and text alone."""
INTRODUCTION = """# The noise of the evaluations

Made by `python -m benchmarks.evaluation_noise` on a finished run ({run}), {reseeds} reseeds of each study, in {minutes:.0f}
minutes. {machine}.

*Over reseeds*: standard deviation of a figure of one SAE over reseeds of its evaluation (probes and folds, examples, random
tokens, questions), root mean square over SAEs. *Over SAE seeds*: standard deviation over SAEs that differ in their init seed
alone, root mean square over corpora and reseeds; it holds the noise of the evaluation as far as that differs from SAE to SAE.
Where the first is the larger one, more SAEs do not help: draw more examples. What all SAEs share of a draw cancels where they
are contrasted. Nothing but text is drawn for reconstruction and seeds: there the standard error over the contexts stands
(none for seeds, whose matching is exact). [metrics.md](metrics.md) says what each figure means.
"""


def main() -> None:
    """Do the studies again, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--reseeds", type=int, default=3)
    parser.add_argument("--studies", default=",".join([*FIGURES, *OF_TEXT]))
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    begun, rows, lacking = time.perf_counter(), [], []
    for name in told.studies.split(","):
        done = told.run / "studies" / name / "summary.json"
        if not done.exists():
            lacking.append(name)
        elif name in OF_TEXT:
            rows.append(of_text(told.run, name, OF_TEXT[name]))
        else:
            rows += reseeded(told.run, name, told.reseeds)
        print(name, f"{time.perf_counter() - begun:.0f} s", flush=True)
    header = ("study", "figure", "mean", "SAEs", "over reseeds", "over SAE seeds", "reseeds / SAE seeds")
    minutes = (time.perf_counter() - begun) / 60
    said = INTRODUCTION.format(run=told.run.name, reseeds=told.reseeds, minutes=minutes, machine=machine())
    missing = f"\nNot done in this run: {', '.join(lacking)}.\n" if lacking else ""
    write_text(told.page, f"{said}\n{markdown_table(Table('', header, rows))}\n{missing}")


def reseeded(run: Path, name: str, reseeds: int) -> list[tuple[str, ...]]:
    """A row per figure of a study, done once more per seed."""
    study = find_study(name)
    config, _ = study.configure(run / "studies" / name, {"saes": (run / "saes",)})
    folders = []
    for seed in range(reseeds):
        out = run / "studies" / ".noise" / f"{name}-{seed}"
        study.load()(replace(config, out=out, seed=seed), silent)
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


def of_text(run: Path, name: str, metric: str) -> tuple[str, ...]:
    """A row of a study that draws nothing but text: standard error over contexts beside the spread over SAEs."""
    import polars as pl

    folder = run / "studies" / name
    found: Any = [one[metric] for one in read_summary(folder / "summary.json")["corpora"].values() if metric in one]
    drawn = [one["error_drawn"] for one in found if one.get("error_drawn") is not None]
    table = pl.read_parquet(folder / "results.parquet").filter(pl.col("metric") == metric)
    table = table.filter(pl.col("other").is_null() | (pl.col("other") == "panel"))
    keys = ("corpus", "shape", "parameter")
    several = [of["value"].var() for _, of in table.group_by(*keys) if len(of) > 1]
    over = float(np.sqrt(np.mean([one for one in several if one is not None])))
    error = float(np.mean(drawn)) if drawn else 0.0
    mean = float(np.mean([one["value"] for one in found]))
    what = f"{metric}, pairs of seeds" if name == "seeds" else metric
    return (
        name,
        what,
        f"{mean:.4f}",
        str(len(table)),
        f"{error:.4f} (contexts)" if drawn else "0",
        f"{over:.4f}",
        f"{error / over:.2f}",
    )


if __name__ == "__main__":
    main()
