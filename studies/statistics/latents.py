"""Figures of single latents that a study leaves for what comes after it: a row per SAE, known by its hash."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically

LATENTS = "latents.parquet"


def write_latents(path: Path, figures: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Keep figures of latents, each [d_sae], by the hashes of their SAEs and by name; every SAE has the same ones.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    import polars as pl

    names = list(next(iter(figures.values()), {}))
    columns = {name: [of[name].tolist() for of in figures.values()] for name in names}
    schema: dict[str, Any] = {"sae": pl.String, **{name: pl.List(pl.Float64) for name in names}}
    table = pl.DataFrame({"sae": list(figures), **columns}, schema=schema)
    write_atomically(path, lambda temporary: table.write_parquet(temporary))


def read_latents(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The same back, float64 [d_sae] each; nothing where there is no file.

    Raises:
        FaithfulError: the file is damaged.
    """
    import polars as pl

    if not path.exists():
        return {}
    try:
        rows = pl.read_parquet(path).rows(named=True)
        return {row.pop("sae"): {name: np.array(of, float) for name, of in row.items()} for row in rows}
    except (pl.exceptions.PolarsError, OSError, KeyError, TypeError, ValueError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; run the study again.") from error
