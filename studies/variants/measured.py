"""What the SAEs' records and the tables of the run's other studies say of each SAE, by corpus, shape and seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from faithful.formats.files import CONFIG
from faithful.store.saes import TrainedSae
from studies.common.inputs import WHOLE_PANEL
from studies.common.results import SUMMARY, Row, read_summary
from studies.statistics.estimates import Figures
from studies.variants.config import IF_MEASURED, OF_STUDIES

Read = dict[tuple[str, str], dict[str, dict[Any, float | None]]]
"""By corpus and shape, metric, and seed or pair of seeds."""


def read_figures(saes: Sequence[TrainedSae], studies: Path) -> tuple[Read, dict[str, str]]:
    """The figures of SAEs, and of each study of which nothing is taken why, in a word of `WHY`.

    Args:
        saes: those of the run.
        studies: folder of its studies.

    Raises:
        FaithfulError: a table that cannot be read.
    """
    found: Read = {(sae.corpus, sae.shape): {} for sae in saes}
    for sae in saes:
        silent = sae.figure("never_fired")
        figures = {"fvu": sae.figure("fvu"), "alive_share": None if silent is None else 1 - silent / sae.d_sae}
        figures["l0"] = sae.figure("l0")
        for metric, value in figures.items():
            found[sae.corpus, sae.shape].setdefault(metric, {})[sae.seed] = value
    left_out: dict[str, str] = {}
    trained = max(((sae.folder / CONFIG).stat().st_mtime_ns for sae in saes), default=0)
    for name, headlines in OF_STUDIES.items():
        path = studies / name / "results.parquet"
        tasks = _tasks(path.parent) if name == "probes" else None
        if not path.exists():
            left_out |= {} if name in IF_MEASURED else {name: "missing"}
        elif path.stat().st_mtime_ns < trained:
            left_out[name] = "outdated"
        elif tasks == []:
            left_out[name] = "ceiling"
        else:
            readers: dict[str, Reader] = {
                "seeds": _shared, "probes": partial(_accuracies, tasks=tasks), "interventions": _middle
            }  # fmt: skip
            rows = list(_rows(path))
            for metric in [headline.metric for headline in headlines]:
                for row, key, value in readers.get(name, _plain)(rows, metric):
                    of = found.get((row.corpus, row.shape or ""))
                    if of is not None:
                        of.setdefault(metric, {})[key] = value
    return found, left_out


def _tasks(folder: Path) -> list[str] | None:
    """The tasks of `study probes` that count, which those at their ceiling do not; None where its summary does not say."""
    path = folder / SUMMARY
    summary: Mapping[str, Any] = read_summary(path) if path.exists() else {}
    return summary.get("unmarked")


def _rows(path: Path) -> Iterator[Row]:
    import polars as pl

    from faithful.base.errors import FaithfulError

    try:
        yield from (Row(**row) for row in pl.read_parquet(path).iter_rows(named=True))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; run the study again.") from error


Found = Iterator[tuple[Row, Any, float | None]]
Reader = Callable[[list[Row], str], Found]


def _shared(rows: list[Row], metric: str) -> Found:
    """Pairs of SAEs of one corpus."""
    for row in rows:
        if row.metric == metric and row.other is None and row.other_seed is not None:
            yield row, (row.seed, row.other_seed), row.value


def _plain(rows: list[Row], metric: str) -> Found:
    """A figure of each SAE by itself, or on the panel; with all its latents where it was measured with fewer too."""
    of = [row for row in rows if row.metric == metric and row.other in (None, WHOLE_PANEL) and row.seed is not None]
    for row in sorted(of, key=lambda row: -1.0 if row.parameter is None else row.parameter):
        if metric != "fake_contrast" or row.parameter is None:
            yield row, row.seed, row.value


def _middle(rows: list[Row], metric: str) -> Found:
    """A figure of each SAE at the middle one of the numbers of latents that it was measured with."""
    of = [row for row in rows if row.metric == metric]
    counts = sorted({row.parameter for row in of if row.parameter is not None})
    for row in of:
        if row.parameter == counts[len(counts) // 2]:
            yield row, row.seed, row.value


def _accuracies(rows: list[Row], metric: str, tasks: list[str] | None) -> Found:
    """The mean over tasks (None: all) of a probe on all codes, trained on all examples."""
    of: dict[tuple[str, str | None, int], dict[str, Row]] = {}
    for row in rows:
        kind, _, place = row.metric.partition(":")
        task, _, side = place.rpartition(":")
        if kind == metric and side == "f" and row.seed is not None and (tasks is None or task in tasks):
            on = of.setdefault((row.corpus, row.shape, row.seed), {})
            if task not in on or (row.parameter or 0) > (on[task].parameter or 0):
                on[task] = row
    for on in of.values():
        values = [row.value for row in on.values() if row.value is not None]
        one = next(iter(on.values()))
        yield one, one.seed, sum(values) / len(values) if len(values) == len(on) else None


def of_metric(read: Read, corpus: str, shape: str, metric: str) -> Figures:
    """Figures of the SAEs of a corpus and a shape; none where they were not measured."""
    return read[corpus, shape].get(metric, {})
