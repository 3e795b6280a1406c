"""Tables on terminals of any width and in pipes."""

import io

import pytest
from rich.console import Console

from faithful.cli.tables import KEPT, fitted, tab_separated

HEADER = ("corpora", "difference", "95 % interval", "p (Holm)", "verdict")
ROWS = [
    ("own − a_corpus_of_a_long_name", "-0.0008", "-0.0029 to 0.0014", "0.391", "no relevant difference"),
    ("own − prose", "+0.196 ± 0.020", "0.1816 to 0.2115", "8.4e-07", "differs"),
]


def shown(width: int, header: tuple[str, ...] = HEADER) -> tuple[str, list[str]]:
    table, left_out = fitted(ROWS, header, width)
    console = Console(file=io.StringIO(), width=max(width, table.min_width), highlight=False)
    console.print(table)
    return console.file.getvalue(), left_out  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 140])
def test_no_name_number_or_interval_is_cut(width: int) -> None:
    text, left_out = shown(width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for place, name in enumerate(HEADER):
        cells = [row[place] for row in ROWS]
        pieces = [word for cell in cells for word in cell.split()] if name in ("verdict", "corpora") else cells
        if name in left_out:
            assert not any(cell in text for cell in cells), name
        else:
            assert all(piece in text for piece in pieces), name
    assert not set(left_out) & {"corpora", *KEPT}


def test_the_rightmost_go_first_and_a_wide_terminal_holds_all() -> None:
    assert shown(140)[1] == []
    assert shown(70)[1] in (["p (Holm)"], ["95 % interval", "p (Holm)"])
    assert shown(62)[1] == ["95 % interval", "p (Holm)"]


def test_what_cannot_fit_is_shown_whole_all_the_same() -> None:
    text, left_out = shown(30)
    assert left_out == ["95 % interval", "p (Holm)"]
    assert "a_corpus" in text


def test_rows_without_a_header_keep_every_column() -> None:
    text, left_out = shown(60, ())
    assert left_out == []
    assert "8.4e-07" in text


def test_a_pipe_gets_tabs() -> None:
    text = tab_separated("A title", [("a\tb", "two\nlines"), ("c", "")], ("one", "two"))
    assert text == "# A title\none\ttwo\na b\ttwo lines\nc\t"
