"""Tables for any terminal: no name is cut, no interval broken, what does not fit is left out by name."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from faithful.cli.output.tables import EDGE, fitted, tab_separated

HEADER = ("metric", "own", "prose", "verdict")
ROWS = [
    ("shared_feature_ratio", "0.4123 (0.4001 to 0.4245)", "0.3123 ± 0.0100", "differs"),
    ("pw_mcc", "–", "0.5", "no relevant difference"),
]


def drawn(width: int, rows: list[tuple[str, ...]] = ROWS, header: tuple[str, ...] = HEADER) -> tuple[str, list[str]]:
    table, left_out = fitted(rows, header, width)
    stream = io.StringIO()
    Console(file=stream, width=max(width, 300), color_system=None).print(table)
    return stream.getvalue(), left_out


def test_a_program_gets_tabs_between_cells_and_none_inside() -> None:
    text = tab_separated("Title", [("a\tb", "two\nlines")], ("x", "y"))
    assert text == "# Title\nx\ty\na b\ttwo lines"
    assert tab_separated("Title", [("a", "b")], ()) == "# Title\na\tb"


@pytest.mark.parametrize("width", range(30, 130, 7))
def test_what_does_not_fit_is_left_out_by_name_and_nothing_else(width: int) -> None:
    text, left_out = drawn(width)
    assert left_out == [name for name in ("own", "prose") if name in left_out] and "verdict" not in left_out
    for at, name in enumerate(HEADER):
        shown = name not in left_out
        assert (name in text) == shown
        assert all(all(word in text for word in row[at].split()) == shown for row in ROWS if row[at] != "–")
    assert "shared_feature_ratio" in text, "a name is never broken"
    if "own" not in left_out:
        assert "(0.4001 to 0.4245)" in text, "nor is an interval"
    widest = max(len(line.rstrip()) for line in text.splitlines())
    assert widest <= max(width, len("shared_feature_ratio") + len("difference") + 6 + EDGE)


def test_a_wide_terminal_gets_everything_in_one_line_each() -> None:
    text, left_out = drawn(200)
    assert (
        left_out == [] and len([line for line in text.splitlines() if "pw_mcc" in line and "no relevant" in line]) == 1
    )


WIDE = [
    ("漢字のコーパス", "日本語の文章は空白なしで書かれるので、どこで折り返してもよい", "differs"),
    ("emoji 😀😀", "words\twith 😀 between 😀 them 😀 and on", "no relevant difference"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_wide_characters_are_counted_as_they_are_shown(width: int) -> None:
    table, _ = fitted(WIDE, ("name", "text", "verdict"), width)
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    shown = stream.getvalue()
    assert max(cell_len(line) for line in shown.splitlines()) <= width
    assert "…" not in shown and "verdict" in shown
    for name, text, _ in WIDE:
        assert name in shown
        if "text" in shown.splitlines()[1]:
            assert all(one in shown for one in text if one.strip())
            assert " ".join(shown.split()).count("between") == ("between" in shown)


def test_a_text_of_wide_characters_is_broken_where_it_must_be() -> None:
    text = "字" * 100
    shown, _ = drawn(40, [("one", text)], ("name", "text"))
    assert shown.count("字") == 100 and max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 40


def test_rows_without_a_header_are_all_shown_and_markup_is_text() -> None:
    text, left_out = drawn(20, [("path", "[red]x"), ("other", "y")], ())
    assert left_out == [] and "[red]x" in text and "other" in text
