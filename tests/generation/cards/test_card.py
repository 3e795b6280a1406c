"""README.md of a corpus: ours is written anew, what people wrote stays."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.card_file import BEGIN, END, merge_metadata
from faithful.store.corpus import read_manifest, write_manifest
from generation.cards.card import card_is_current, write_card
from tests.generation.cards.conftest import parts


def test_human_text_and_metadata_survive_and_ours_is_replaced(copy: Path) -> None:
    path = copy / "README.md"
    text = path.read_text(encoding="utf-8")
    before, ours, after = text[: text.index(BEGIN)], text[text.index(BEGIN) :], "\n\n## Our notes\n\nKept. ünï\n"
    edited = before.replace("pretty_name: ", "license: mit\nmine: [1, 2]\npretty_name: My title #")
    edited = edited.replace("- synthetic\n", "- harbour\n- synthetic\n").replace("n<1K", "n>1T")
    path.write_text(edited + "Above.\n\n" + ours.replace("## Limitations", "## Old heading") + after, encoding="utf-8")
    write_card(copy)
    front, body = parts(copy)
    assert front["license"] == "mit"
    assert front["mine"] == [1, 2]
    assert front["pretty_name"].startswith("My title")
    assert {"harbour", "synthetic", "faithful"} <= set(front["tags"])
    assert front["size_categories"] == ["n<1K"]
    assert body.strip().startswith("Above.")
    assert "Kept. ünï" in body.split(END)[1]
    assert "## Limitations" in body
    assert "## Old heading" not in body
    once = path.read_bytes()
    write_card(copy)
    assert path.read_bytes() == once


def test_a_readme_of_the_users_own_is_kept_below(copy: Path) -> None:
    (copy / "README.md").write_text("# Mine\n\nwith ---\nlines\n", encoding="utf-8")
    write_card(copy)
    front, body = parts(copy)
    assert front["tags"][0] == "synthetic"
    assert "# Mine\n\nwith ---\nlines" in body.split(END)[1]


def test_front_matter_that_cannot_be_read_is_not_thrown_away(copy: Path) -> None:
    (copy / "README.md").write_text("---\nmine: [1, 2\n---\n\nText.\n", encoding="utf-8")
    try:
        write_card(copy)
    except Exception as error:
        assert type(error).__name__ == "FaithfulError"
        assert "\n" not in str(error)
    assert "mine: [1, 2" in (copy / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("tags", "kept"),
    [("harbour", ["harbour"]), (None, []), (["a", "b"], ["a", "b"]), ([{"a": 1}], [{"a": 1}])],
)
def test_tags_a_person_wrote_are_kept_whatever_their_form(tags: Any, kept: list[str]) -> None:
    assert merge_metadata({"tags": tags}, {"tags": ["synthetic"]})["tags"] == [*kept, "synthetic"]


@pytest.mark.parametrize("tags", [3, {"a": 1}])
def test_tags_that_are_none_stay_for_the_hub_to_refuse(tags: Any) -> None:
    assert merge_metadata({"tags": tags}, {"tags": ["synthetic"]})["tags"] == tags


def test_a_card_is_current_until_its_corpus_changes(copy: Path) -> None:
    assert card_is_current(copy)
    manifest = read_manifest(copy)
    manifest.certificate = None
    write_manifest(copy, manifest)
    assert not card_is_current(copy)
    write_card(copy)
    assert card_is_current(copy)
    (copy / "README.md").unlink()
    assert not card_is_current(copy)


def test_a_card_that_is_a_link_is_left_alone(copy: Path, tmp_path: Path) -> None:
    path, elsewhere = copy / "README.md", tmp_path / "elsewhere.md"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(FaithfulError, match="is a link"):
        write_card(copy)
    assert elsewhere.read_bytes() == before
