"""What training shows: a live table while it runs, and the quality of what it made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faithful.base.quantities import format_count, format_seconds
from faithful.base.terminal import plain
from faithful.store.saes import read_sae
from faithful.training.card import by_corpus_and_shape, mean_rows

FIGURES = ("fvu", "l0", "ce_diff", "ce_recovered", "kl", "cosine", "never_fired", "start_cosine")
START_COSINE = 0.5
"""From here on an SAE is called hardly trained: its median latent has not left its random start. For `tiny`, 1,024 latents on
200k tokens, pairs of seeds share 1 % of their latents at .70, 8 % at .45, 22 % at .29."""


def quality_rows(folders: list[Path]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and a row per corpus and shape, from the cfg.json of each SAE: mean ± standard deviation over its seeds."""
    return ("corpus", "shape", "seeds", *FIGURES), mean_rows([read_sae(folder) for folder in sorted(folders)], FIGURES)


def hardly_trained(folders: list[Path]) -> list[str]:
    """A sentence for each corpus and shape whose SAEs have hardly left their random start."""
    from faithful.sae.variant import kind_of

    sentences = []
    for (corpus, shape), found in by_corpus_and_shape([read_sae(folder) for folder in sorted(folders)]).items():
        start = max(
            (cell.figure("start_cosine") or 0.0 for cell in found if not kind_of(cell.identity).stays), default=0.0
        )
        if start >= START_COSINE:
            sentences.append(
                f"{corpus} {shape}: hardly trained. The median latent still lies at a cosine of {start:.2f} to its"
                f" random start (below {START_COSINE} it has left it); give more tokens (--epochs repeats the corpus) or a"
                " larger --lr."
            )
    return sentences


class LiveTable:
    """A rich table of a training's `Progress`: a row per cell of every training under way, those last heard of on top.
    Behind a stroke stands what held-out text gave (`--eval-every`).

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
        from rich.text import Text

        rows: dict[tuple[str, str], tuple[str, ...]] = {}
        rate, left = self._pace(point, point.cells[0]["cell"] if point.cells else "", now)
        for cell in point.cells:
            speed, eta = self._pace(point, cell["cell"], now)
            figures = (
                _both(cell, "fvu", "held_out_fvu", ".4f"),
                _both(cell, "l0", "held_out_l0", ".1f"),
                _both(cell, "dead_in_training", "held_out_never_fired", ",d"),
                f"{cell['loss']:.4f}",
            )
            rows[point.step, cell["cell"]] = (speed, *figures, eta)
        self._rows = rows | {key: row for key, row in self._rows.items() if key not in rows}
        done = f"{format_count(point.done)} of {format_count(point.total)} {point.unit}"
        title = point.note or f"{point.step}: {done}, {rate} {point.unit}/s, {left} left"
        table = Table(title=Text(plain(title)), title_justify="left")
        for name in ("step", "cell", "tokens/s", "fvu", "l0", "dead", "loss", "ETA"):
            table.add_column(name, justify="left" if name in ("step", "cell") else "right")
        for key, row in self._rows.items():
            table.add_row(*(Text(plain(cell)) for cell in (*key, *row)))  # not strings: names may look like markup
        return table

    def _pace(self, point: Any, cell: str, now: float) -> tuple[str, str]:
        """What is done per second, and the time left; dashes at first."""
        began, before = self._began.setdefault((point.step, cell), (now, point.done))
        if now <= began or point.done <= before:
            return "–", "–"
        rate = (point.done - before) / (now - began)
        return format_count(rate), format_seconds(max(0, point.total - point.done) / rate)


def _both(cell: Mapping[str, Any], name: str, held_out: str, form: str) -> str:
    """A figure of the training, and behind a stroke its like on held-out text where that was looked at."""
    found = cell.get(held_out)
    return format(cell[name], form) + (f" / {format(found, form)}" if found is not None else "")
