"""The rendered cards beside the templates are what the templates say now; a card knows which template it came from."""

import shutil
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

import data_cards
from faithful.store.corpus import read_manifest
from generation.cards import card
from tests.faithful.hub.things import external_corpus, own_corpus

FOLDER = Path(data_cards.__file__).parent
RENDERED = sorted(path.parent.name for path in FOLDER.glob("*/README.md"))


def stale_part(text: str) -> str | None:
    """The first part of its template's fixed text that a corpus card lacks in its place, None when all is there."""
    name = "corpus.md.jinja" if "\n# Faithful corpus of " in text else "external.md.jinja"
    tree = jinja2.Environment().parse((FOLDER / name).read_text(encoding="utf-8"))
    outputs = [node for node in tree.body if isinstance(node, nodes.Output)]
    place = 0
    for part in (part for output in outputs for part in output.nodes if isinstance(part, nodes.TemplateData)):
        found = text.find(part.data.rstrip(), place)
        if found < 0:
            return part.data
        place = found + len(part.data.rstrip())
    return None


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_example_agrees_with_its_template(name: str) -> None:
    assert stale_part((FOLDER / name / "README.md").read_text(encoding="utf-8")) is None


def test_there_are_examples() -> None:
    assert "tiny-own" in RENDERED


@pytest.mark.parametrize("make", [own_corpus, external_corpus])
def test_what_is_rendered_now_agrees_and_an_older_text_does_not(make: object, tmp_path: Path) -> None:
    folder = make(tmp_path / "corpus")  # type: ignore[operator]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert stale_part(text) is None
    assert stale_part(text.replace("is decoded from", "was decoded from"))


@pytest.mark.parametrize("changed", ["corpus.md.jinja", "licences.toml"])
def test_a_card_of_another_template_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    folder = own_corpus(tmp_path / "own")
    assert card.card_is_current(folder)
    before = card.card_digest(read_manifest(folder))
    templates = Path(shutil.copytree(FOLDER, tmp_path / "cards"))
    with (templates / changed).open("a") as file:
        file.write("\n")
    card.template_version.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(card.resources, "files", lambda package: templates)
        assert card.card_digest(read_manifest(folder)) != before
        assert not card.card_is_current(folder)
    card.template_version.cache_clear()
    assert card.card_is_current(folder)
