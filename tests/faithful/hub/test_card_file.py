"""Cards are merged by one rule: the generated part is ours, and what people wrote or set stays as they wrote it."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.card_file import BEGIN, END, make_card, markdown_table, merge_cards, merge_metadata, parse_card

METADATA: dict[str, Any] = {"pretty_name": "Ours", "size_categories": ["n<1K"], "tags": ["faithful"]}


def test_a_new_card_has_its_parts(tmp_path: Path) -> None:
    card = make_card(METADATA, "\n# Title\n", tmp_path / "README.md", digest="abc")
    assert parse_card(card, "card").text == f"{BEGIN} abc -->\n# Title\n{END}"
    assert card.endswith(f"{END}\n")


def test_a_head_that_says_all_already_stays_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    head = "# by hand\npretty_name: 'Mine'\nempty:\nsize_categories: [n<1K]\ntags: [mine, faithful]\n"
    path.write_text(f"---\n{head}---\n\nAbove.\n\n{BEGIN} old -->\nold\n{END}\n\n\nBelow.\n")
    card = make_card(METADATA, "new", path, digest="now")
    assert card == f"---\n{head}---\n\nAbove.\n\n{BEGIN} now -->\nnew\n{END}\n\n\nBelow.\n"
    path.write_text(card)
    assert make_card(METADATA, "new", path, digest="now") == card


def test_a_text_of_others_is_kept_below(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("# Mine\n\ntext\n")
    assert make_card(METADATA, "ours", path).endswith(f"ours\n{END}\n\n# Mine\n\ntext\n")
    path.write_text("---\n---\n")
    assert make_card(METADATA, "ours", path) == make_card(METADATA, "ours")


@pytest.mark.parametrize("lost", [BEGIN, END])
def test_half_a_marker_is_refused(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(make_card(METADATA, "ours").replace(lost, ""))
    with pytest.raises(FaithfulError, match=r"README\.md lacks one of its two marker lines"):
        make_card(METADATA, "ours", path)


def test_metadata_are_merged_three_ways() -> None:
    published = {"pretty_name": "Ours", "license": "mit", "gone": 1, "size_categories": ["n<1K"]}
    theirs = {"pretty_name": "Theirs", "license": "mit", "gone": 1, "size_categories": ["by hand"], "mine": 2}
    ours = {"pretty_name": "New", "license": "apache-2.0", "size_categories": ["1K<n<10K"], "added": 3}
    assert merge_metadata(theirs, ours, published) == {
        "pretty_name": "Theirs", "license": "apache-2.0", "size_categories": ["1K<n<10K"], "mine": 2, "added": 3,
    }  # fmt: skip


def test_what_was_taken_away_there_stays_away() -> None:
    published = {"tags": ["faithful", "topk"], "license": "mit"}
    assert merge_metadata(
        {"tags": ["faithful"]}, {"tags": ["faithful", "topk", "new"], "license": "mit"}, published
    ) == {"tags": ["faithful", "new"]}


def test_paragraphs_that_are_gone_here_go_there_too() -> None:
    ours, there = make_card(METADATA, "ours"), make_card(METADATA, "old") + "\nOld words.\n\nTheirs.\n"
    merged = merge_cards(ours, there, METADATA, outside="Old words.")
    assert parse_card(merged, "card").after == "\n\nTheirs.\n"


def test_cells_of_a_table_cannot_break_it() -> None:
    assert markdown_table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"
