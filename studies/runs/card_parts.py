"""What the cards of a publication say of its corpora, its SAEs and its studies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faithful.base.errors import FaithfulError
from faithful.hub.card_file import markdown_table
from faithful.hub.local_files import sendable
from faithful.options.line import command_line
from faithful.store.corpus import Manifest
from faithful.store.saes import TrainedSae

if TYPE_CHECKING:
    from studies.common.study import Study
    from studies.common.tables import Table


def grid_words(cells: Sequence[TrainedSae]) -> str:
    """How many corpora the SAEs are of, and whether each has the same grid, in words."""
    places: dict[str, set[str]] = {}
    for cell in cells:
        places.setdefault(cell.corpus, set()).add(cell.place.partition("/")[2])
    if len(places) == 1:
        return f" trained on the corpus {next(iter(places))}"
    is_even = all(grid == next(iter(places.values())) for grid in places.values())
    return f", the same grid trained on {len(places)} corpora" if is_even else f", trained on {len(places)} corpora"


def corpora_table(corpora: list[tuple[str, Manifest]], *, links: bool = False) -> str:
    rows = []
    for name, manifest in corpora:
        verdict = (manifest.certificate or {}).get("verdict", "none")
        shown = f"[`{name}`]({name}/README.md)" if links else f"`{name}`"
        counts = (f"{manifest.tokens():,}", f"{manifest.tokens('test'):,}", f"{manifest.rows():,}")
        rows.append((shown, manifest.kind, *counts, str(verdict)))
    header = ("corpus", "kind", "training tokens", "held-out tokens", "training documents", "certificate")
    return markdown_table(header, rows)


@dataclass(frozen=True)
class ShownStudy:
    """What a card shows of a study: tables as title and Markdown, figures as caption and path in the repository."""

    question: str
    tables: list[tuple[str, str]]
    figures: list[tuple[str, str]]


def shown_studies(folder: Path) -> list[ShownStudy]:
    """Tables and figures of every study of a run that is there."""
    from studies.catalog import KNOWN

    found = []
    for name, study in KNOWN.items():
        path = folder / "studies" / name / "summary.json"
        if path.is_file():
            sendable(path, folder)
            tables = [(one.title, markdown_table(one.header, one.rows)) for one in _tables(study, path)]
            figures = [
                (study.captions.get(one.stem, _words(one.stem)), one.relative_to(folder).as_posix())
                for one in drawn_figures(path.parent)
            ]
            found.append(ShownStudy(study.question, tables, figures))
    return found


def drawn_figures(study: Path) -> list[Path]:
    return sorted(path for path in (study / "figures").glob("*.svg") if not path.name.startswith("."))


def study_section(folder: Path) -> str:
    """What the corpus study of the run says of a corpus, "" where there is none."""
    from studies.catalog import STUDIES

    path = folder.resolve().parent.parent / "studies" / "corpora" / "summary.json"
    if not path.is_file() or folder.resolve().parent.name != "corpora":
        return ""
    sendable(path, folder.resolve().parent.parent)
    parts = []
    for table in _tables(STUDIES["corpora"], path):
        own = [row for row in table.rows if row[0] == folder.resolve().name]
        parts += [f"**{table.title}**", markdown_table(table.header, own)] if own else []
    return "## Beside the other corpora of its run\n\n" + "\n\n".join(parts) if parts else ""


def _tables(study: "Study", path: Path) -> "list[Table]":
    """Tables of a study's results.

    Raises:
        FaithfulError: they were written by another version.
    """
    from studies.common.results import read_summary

    summary = read_summary(path)
    try:
        return study.tables(summary)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FaithfulError(
            f"{path} is of another version of this program; run `{command_line(study.config)}` again, then publish."
        ) from error


def _words(stem: str) -> str:
    return re.sub(r"[-_]+", " ", stem)
