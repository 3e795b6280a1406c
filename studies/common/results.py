"""What every study leaves: `results.parquet` (one figure per row) and `summary.json`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically
from faithful.base.records import fit, read_record, write_record
from faithful.base.shapes import Count
from studies.statistics.records import Statistics


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        study: name of the study.
        corpus: what it is of.
        metric: a name of docs/metrics.md.
        value: the figure, None where it is not defined.
        parameter: what the metric depends on (tokens of a curve, a threshold, k), None where nothing.
        low, high: its 95 % interval, None where it has none.
        other: the corpus it is compared with.
        seed, other_seed: init seeds of the SAEs.
        shape: hook, width and k of the SAEs, `resid_pre.8-f12288-k16`.
    """

    study: str
    corpus: str
    metric: str
    value: float | None
    parameter: float | None = None
    low: float | None = None
    high: float | None = None
    other: str | None = None
    seed: int | None = None
    other_seed: int | None = None
    shape: str | None = None


class ExampleRow(TypedDict, total=False):
    """A context of a latent, and that of its partner."""

    latent: int
    corpus: str | None
    tokens: list[str]
    values: list[float]
    note: str
    partner_corpus: str
    partner_seed: int | None
    partner_latent: int
    partner_cosine: float
    partner_text: str | None
    partner_tokens: list[str]
    partner_values: list[float]


class ExampleBlock(TypedDict, total=False):
    """Contexts of some latents under a title."""

    title: str
    rows: list[ExampleRow]


class ModelRead(TypedDict, total=False):
    """The model that read the text."""

    name: str
    revision: str
    dtype: str


class Summary(Statistics, total=False):
    """What every study's summary holds; further keys are its own.

    `format` numbers the form of both files, and stands in the file alone; `sizes` says what was used, by name; `shapes` holds
    the statistics of the SAEs of each shape, those of `shape` stand at the top too.
    """

    format: Count
    study: str
    model: ModelRead
    hook: str
    own: str | None
    controls: dict[str, str]
    missing_corpora: list[str]
    loads: list[str]
    seed: Count
    shape: str
    sizes: dict[str, Any]
    shapes: dict[str, Statistics]
    examples: list[ExampleBlock]
    reused: Count


@dataclass(frozen=True)
class Done:
    """What came out of a study.

    Attributes:
        folder: where results.parquet, summary.json, the figures and, where it shows examples, examples.parquet are.
        summary: what summary.json holds.
        reused: SAEs, pairs of them or of an SAE and a task, or corpora whose figures were there already.
        taken: names of those corpora.
    """

    folder: Path
    summary: Summary
    reused: int = 0
    taken: tuple[str, ...] = ()


FORMAT = 1
"""Of both files as they are written here; those that state none are of it too."""
SUMMARY = "summary.json"
MEND = "delete it and run the study again"
COLUMNS = ("study", "corpus", "other", "seed", "other_seed", "metric", "parameter", "value", "low", "high", "shape")


def write_results(folder: Path, summary: Summary, rows: list[Row]) -> None:
    """Write both files atomically, with the number of their form.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    import polars as pl

    types: dict[str, Any] = dict.fromkeys(("parameter", "value", "low", "high"), pl.Float64)
    types |= dict.fromkeys(("study", "corpus", "other", "metric", "shape"), pl.String) | {"seed": pl.Int64}
    schema = {name: types.get(name, pl.Int64) for name in COLUMNS}
    table = pl.DataFrame([dataclasses.asdict(row) for row in rows], schema=schema)
    write_atomically(folder / "results.parquet", lambda path: table.write_parquet(path))
    write_record(folder / SUMMARY, {"format": FORMAT, **summary})


def read_summary(path: Path) -> Summary:
    """A study's `summary.json`, as `write_results` was given it.

    Raises:
        FaithfulError: it is damaged, or of a later form.
    """
    found: dict[str, Any] = read_record(path, dict, MEND)
    stated = found.get("format")
    if isinstance(stated, int) and stated > FORMAT:
        raise FaithfulError(
            f"{path} has format {stated}, and this version reads {FORMAT} and those before: update faithful, or {MEND}."
        )
    fit(found, Summary, str(path), MEND)
    summary = cast(Summary, found)
    summary.pop("format", None)
    return summary
