"""Latents that reappear with other seeds: which ones are stable, what share of a sum they have, and the file that says so.

`study seeds` leaves the file, and studies that come after it read it beside their own folder.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically

STABLE = 0.5
"""A latent is stable where it reappears in more than this share of the other seeds of its corpus."""
REAPPEARANCE = "reappearance.parquet"


def share_of_stable(of: np.ndarray, stable: np.ndarray) -> float | None:
    """The share of Σ of [d_sae] that the stable latents have; None where that is not above 0."""
    total = float(of.sum())
    return float(of[stable].sum() / total) if total > 0 else None


def write_reappearance(folder: Path, reappears: Mapping[str, np.ndarray]) -> None:
    """Keep in what share of the other seeds each latent [d_sae] of SAEs reappears, by the SAEs' hashes.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    import polars as pl

    columns = {"sae": list(reappears), "reappears": [of.tolist() for of in reappears.values()]}
    table = pl.DataFrame(columns, schema={"sae": pl.String, "reappears": pl.List(pl.Float64)})
    write_atomically(folder / REAPPEARANCE, lambda path: table.write_parquet(path))


def read_stable(folder: Path) -> dict[str, np.ndarray]:
    """Which latents of SAEs are stable, bool [d_sae], by the SAEs' hashes; none without a study there.

    Raises:
        FaithfulError: the file is damaged.
    """
    import polars as pl

    path = folder / REAPPEARANCE
    if not path.exists():
        return {}
    try:
        rows = pl.read_parquet(path).select("sae", "reappears").rows()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; run the study again.") from error
    return {sae: np.array(of) > STABLE for sae, of in rows}
