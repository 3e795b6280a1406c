"""Tables for a terminal of any width, and for a pipe: no name is ever cut, what does not fit is left out by name."""

import re
from collections.abc import Sequence
from typing import Any

Rows = Sequence[tuple[str, ...]]
KEPT = ("verdict", "difference", "fvu", "advice")
"""Columns that stay however narrow the terminal; of the others the rightmost go first."""
BETWEEN, EDGE = 3, 1
"""Blanks that rich puts around a column, and one more of the table."""
NAME = 48
"""A longer line is a path, a sample or a sentence, not a name, and may be broken."""
HARD_BLANK = "\u00a0"


def tab_separated(title: str, rows: Rows, header: Sequence[str]) -> str:
    """The table for a program: the title behind `#`, then lines of cells with tabs between them and none inside."""
    cells = [header, *rows] if header else rows
    return "\n".join([f"# {title}", *("\t".join(" ".join(cell.split()) for cell in row) for row in cells)])


def fitted(rows: Rows, header: Sequence[str], width: int) -> tuple[Any, list[str]]:
    """A rich table of at most `width` characters (a wide one counts as two), and the headers of columns that it leaves out.

    Words and intervals are never broken. The first column, which holds the names, stays, and so do those of `KEPT`; where
    even these do not fit the table is wider.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    lines = [tuple(header), *rows] if header else [*rows]
    columns = [[_glued(line[place]) for line in lines] for place in range(len(lines[0]))]
    least = [_longest(column) for column in columns]
    least[0] = max(map(_longest_line, columns[0]))
    places = list(range(len(columns)))
    while sum(least[place] + BETWEEN for place in places) + EDGE > width:
        free = [place for place in places[1:] if header and header[place] not in KEPT]
        if free:
            places.remove(free[-1])
        elif least[0] > _longest(columns[0]):
            least[0] = _longest(columns[0])
        else:
            break
    widths = _widths({place: (least[place], max(map(_widest, columns[place]))) for place in places}, width)
    table = Table(
        box=box.SIMPLE, show_header=bool(header), min_width=sum(widths.values()) + BETWEEN * len(widths) + EDGE
    )
    shown = {place: [_wrapped(cell, widths[place]) for cell in columns[place]] for place in places}
    for place in places:
        table.add_column(Text(shown[place].pop(0) if header else ""), style="cyan" if place == 0 else "", no_wrap=True)
    for row in range(len(rows)):
        table.add_row(
            *(Text(shown[place][row]) for place in places)
        )  # not strings: names and samples may look like markup
    return table, [header[place] for place in range(len(columns)) if place not in places]


def _widths(needs: dict[int, tuple[int, int]], width: int) -> dict[int, int]:
    """How wide each column is: what it needs at least, and of the rest as much as it can use, small wishes first."""
    rest = max(0, width - EDGE - sum(least + BETWEEN for least, _ in needs.values()))
    widths = {}
    order = sorted(needs, key=lambda place: needs[place][1] - needs[place][0])
    for done, place in enumerate(order):
        least, most = needs[place]
        more = min(most - least, rest // (len(order) - done))
        widths[place], rest = least + more, rest - more
    return widths


def _wrapped(cell: str, width: int) -> str:
    return "\n".join(part for line in cell.splitlines() for part in _parts(line, width)).replace(HARD_BLANK, " ")


def _parts(line: str, width: int) -> list[str]:
    """A line broken at blanks; a word that is wider than the column wherever it must be."""
    from rich.cells import cell_len, chop_cells

    found = [""]
    for word in re.findall(" *[^ ]+", line):
        if cell_len(found[-1] + word) <= width:
            found[-1] += word
        else:
            found += chop_cells(word.lstrip(" "), width)
    return found if found[0] else found[1:] or found


def _widest(cell: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, cell.splitlines()), default=0)


def _longest(column: Sequence[str]) -> int:
    return max(map(_longest_word, column))


def _longest_word(cell: str) -> int:
    from rich.cells import cell_len

    widths = [(word, cell_len(word)) for word in re.split(r"[ \n]", cell)]
    return max(width if width <= NAME else max(map(cell_len, word)) for word, width in widths)


def _longest_line(cell: str) -> int:
    return _widest(cell) if _widest(cell) <= NAME else _longest_word(cell)


def _glued(cell: str) -> str:
    """The same with blanks that do not break inside an interval: `(0.1 to 0.2)`, `0.3 ± 0.1`; a tab is a blank."""
    return re.sub(r"(?<=\d) (?=(to|±) [-−+\d])|(?<=to) (?=[-−+\d])|(?<=±) (?=\d)", HARD_BLANK, cell.expandtabs(1))
