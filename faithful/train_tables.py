"""What training shows: a live table while it runs, and the quality of what it made."""

import json
import time
from pathlib import Path
from typing import Any

from faithful.quantities import format_count, format_seconds

FIGURES = ("fvu", "l0", "ce_diff", "ce_recovered", "kl", "cosine", "never_fired")


def quality_rows(folders: list[Path]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """One row per SAE from its cfg.json."""
    rows: list[tuple[str, ...]] = []
    for folder in sorted(folders):
        record = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))["metadata"]["faithful"]
        found = record["evaluation"]
        figures = ("–" if found[name] is None else f"{found[name]:.4g}" for name in FIGURES)
        rows.append((record["identity"]["corpus"], folder.parent.name, str(record["identity"]["init_seed"]), *figures))
    return ("corpus", "shape", "seed", *FIGURES), rows


def live_table(point: Any, began: float, before: int) -> Any:
    """A rich table of a `TrainProgress`: a row per cell, and time left.

    Args:
        point: where it is.
        began: when the step did, monotonic seconds.
        before: what was done by then, of this run or an earlier one.
    """
    from rich.table import Table

    left = (time.monotonic() - began) * (point.total - point.done) / max(point.done - before, 1)
    title = (
        f"{point.step}: {format_count(point.done)} of {format_count(point.total)} {point.unit},"
        f" {format_seconds(left)} left"
    )
    table = Table(title=title, title_justify="left")
    for name in ("cell", "activations/s", "fvu", "l0", "dead_in_training", "loss"):
        table.add_column(name, justify="left" if name == "cell" else "right")
    for cell in point.cells:
        table.add_row(
            cell["cell"],
            format_count(cell["speed"]),
            f"{cell['fvu']:.4f}",
            f"{cell['l0']:.1f}",
            f"{cell['dead_in_training']:,}",
            f"{cell['loss']:.4f}",
        )
    return table
