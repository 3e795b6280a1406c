"""What training shows: a live table while it runs, and the quality of what it made."""

import json
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


class LiveTable:
    """A rich table of `TrainProgress`: a row per cell of every training under way, those last heard of on top.

    Rates are those since a cell was first heard of, so that a resumed one does not count what was done before.
    """

    def __init__(self) -> None:
        self._began: dict[tuple[str, str], tuple[float, int]] = {}
        self._rows: dict[tuple[str, str], tuple[str, ...]] = {}

    def told(self, point: Any, now: float) -> Any:
        """The table after a point.

        Args:
            point: where one training is.
            now: monotonic seconds.
        """
        from rich.table import Table

        rows: dict[tuple[str, str], tuple[str, ...]] = {}
        rate, left = self._pace(point, point.cells[0]["cell"] if point.cells else "", now)
        for cell in point.cells:
            speed, eta = self._pace(point, cell["cell"], now)
            figures = (
                f"{cell['fvu']:.4f}",
                f"{cell['l0']:.1f}",
                f"{cell['dead_in_training']:,}",
                f"{cell['loss']:.4f}",
            )
            rows[point.step, cell["cell"]] = (speed, *figures, eta)
        self._rows = rows | {key: row for key, row in self._rows.items() if key not in rows}
        done = f"{format_count(point.done)} of {format_count(point.total)} {point.unit}"
        table = Table(title=f"{point.step}: {done}, {rate} {point.unit}/s, {left} left", title_justify="left")
        for name in ("step", "cell", "tokens/s", "fvu", "l0", "dead", "loss", "ETA"):
            table.add_column(name, justify="left" if name in ("step", "cell") else "right")
        for key, row in self._rows.items():
            table.add_row(*key, *row)
        return table

    def _pace(self, point: Any, cell: str, now: float) -> tuple[str, str]:
        """What is done per second, and the time left; dashes at first."""
        began, before = self._began.setdefault((point.step, cell), (now, point.done))
        if now <= began or point.done <= before:
            return "–", "–"
        rate = (point.done - before) / (now - began)
        return format_count(rate), format_seconds(max(0, point.total - point.done) / rate)
