"""What the SAEs' records and the tables of the run's other studies say of each SAE, by corpus, shape and seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faithful.store.saes import TrainedSae
from studies.statistics.estimates import Figures
from studies.variants.config import OF_STUDIES

PANEL = "panel"
"""What `study reconstruction` calls all of its text."""
Read = dict[tuple[str, str], dict[str, dict[Any, float | None]]]
"""By corpus and shape, metric, and seed or pair of seeds."""


def read_figures(saes: Sequence[TrainedSae], studies: Path) -> tuple[Read, list[str]]:
    """The figures of SAEs, and the studies that the run lacks.

    Args:
        saes: those of the run.
        studies: folder of its studies.

    Raises:
        FaithfulError: a table that cannot be read.
    """
    found: Read = {(sae.corpus, sae.shape): {} for sae in saes}
    for sae in saes:
        silent = sae.figure("never_fired")
        figures = {"fvu": sae.figure("fvu"), "alive": None if silent is None else 1 - silent / sae.d_sae}
        for metric, value in figures.items():
            found[sae.corpus, sae.shape].setdefault(metric, {})[sae.seed] = value
    missing = [name for name in OF_STUDIES if not (studies / name / "results.parquet").exists()]
    for name in OF_STUDIES.keys() - set(missing):
        metric = OF_STUDIES[name].metric
        of = {"seeds": _shared, "probes": _accuracies}.get(name, _plain)
        for row, key, value in of(list(_rows(studies / name / "results.parquet")), metric):
            if (row["corpus"], row["shape"]) in found:
                found[row["corpus"], row["shape"]].setdefault(metric, {})[key] = value
    return found, missing


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import polars as pl

    from faithful.base.errors import FaithfulError

    try:
        yield from pl.read_parquet(path).iter_rows(named=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; run the study again.") from error


Found = Iterator[tuple[dict[str, Any], Any, float | None]]


def _shared(rows: list[dict[str, Any]], metric: str) -> Found:
    """Pairs of SAEs of one corpus."""
    for row in rows:
        if row["metric"] == metric and row["other"] is None and row["other_seed"] is not None:
            yield row, (row["seed"], row["other_seed"]), row["value"]


def _plain(rows: list[dict[str, Any]], metric: str) -> Found:
    """A figure of each SAE by itself, or on the panel; with all its latents where it was measured with fewer too."""
    of = [row for row in rows if row["metric"] == metric and row["other"] in (None, PANEL) and row["seed"] is not None]
    for row in sorted(of, key=lambda row: -1.0 if row["parameter"] is None else row["parameter"]):
        if metric != "fake_contrast" or row["parameter"] is None:
            yield row, row["seed"], row["value"]


def _accuracies(rows: list[dict[str, Any]], metric: str) -> Found:
    """The mean over tasks of a probe on all codes, trained on all examples."""
    of: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        kind, _, task = row["metric"].partition(":")
        if kind == metric and task.endswith(":f") and row["seed"] is not None:
            tasks = of.setdefault((row["corpus"], row["shape"], row["seed"]), {})
            if task not in tasks or row["parameter"] > tasks[task]["parameter"]:
                tasks[task] = row
    for tasks in of.values():
        values = [row["value"] for row in tasks.values()]
        one = next(iter(tasks.values()))
        yield one, one["seed"], None if None in values else sum(values) / len(values)


def of_metric(read: Read, corpus: str, shape: str, metric: str) -> Figures:
    """Figures of the SAEs of a corpus and a shape; none where they were not measured."""
    return read[corpus, shape].get(metric, {})
