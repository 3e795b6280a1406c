"""What every study leaves: `results.parquet` (one figure per row) and `summary.json`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.files import write_atomically, write_json


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        corpus: name of the corpus.
        metric: METRICS' name.
        value: the figure, None where it is not defined.
        low, high: its 95 % interval, None where it has none.
        tokens: number of tokens it was computed on.
    """

    corpus: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    tokens: int


def write_results(folder: Path, summary: dict[str, Any], rows: list[Row]) -> None:
    """Write both files atomically.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    import polars as pl

    types = {"corpus": pl.String, "metric": pl.String, "tokens": pl.Int64}
    schema = {f.name: types.get(f.name, pl.Float64) for f in dataclasses.fields(Row)}
    table = pl.DataFrame([dataclasses.astuple(row) for row in rows], schema=schema, orient="row")
    write_atomically(folder / "results.parquet", lambda path: table.write_parquet(path))
    write_json(folder / "summary.json", summary)
