"""Whose texts a corpus holds."""

from typing import Any

from faithful.store.corpus import Manifest
from generation.cards.origins import MODEL, origins

OWN = {"model": {"name": "tiny", "licence": "mit"}}
WEB = {"source": {"name": "web", "about": "synthetic pages", "licence": None}}


def manifest(kind: str, identity: dict[str, Any], provenance: dict[str, Any]) -> Manifest:
    return Manifest("x", kind, identity, provenance, {"train": 0, "test": 0})


def test_own_text_is_the_models_and_asks_for_a_look_at_its_licence() -> None:
    (origin,) = origins(manifest("own", {"model": {"name": "tiny"}}, OWN))
    assert (origin.kind, origin.name, origin.synthetic) == (MODEL, "tiny", True)
    assert "`mit`" in origin.terms
    (unknown,) = origins(manifest("own", {"model": {"name": "other"}}, {"model": {}}))
    assert unknown.name == "other" and "not known here" in unknown.terms


def test_a_source_of_the_catalog_has_its_own_card_and_others_what_is_known() -> None:
    known = {"source": {"name": "prose", "about": "novels", "licence": "public domain"}}
    (prose,) = origins(manifest("external", {"source": {"kind": "embedded"}}, known))
    assert "Austen" in prose.story and not prose.synthetic
    (web,) = origins(manifest("external", {"source": {"kind": "hub", "repo": "a/web"}}, WEB))
    assert web.story == "The set `a/web` on the Hugging Face Hub." and web.synthetic
    assert "No licence is known" in web.terms


def test_a_derived_corpus_has_those_of_the_inputs_it_uses_each_once() -> None:
    def entry(name: str, kind: str, identity: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "kind": kind, "identity": identity, "provenance": provenance, "model": {"name": "tiny"}}

    inputs = [
        entry("own", "own", {}, {}),
        entry("own#2", "own", {}, {}),
        entry("web", "external", {"source": {"kind": "files"}}, WEB),
        entry("lengths", "external", {"source": {"kind": "files"}}, {"source": {"name": "lengths"}}),
    ]
    used = [{"name": name} for name in ("own", "own#2", "web")]
    found = origins(manifest("derived", {"derivation": {"inputs": used}}, {"inputs": inputs}))
    assert [origin.name for origin in found] == ["tiny", "web"]


def test_a_quantised_model_is_named_as_one() -> None:
    (plain,) = origins(manifest("own", {}, OWN))
    (quantised,) = origins(manifest("own", {}, {"model": OWN["model"] | {"load": "4bit"}}))
    assert "quantised" not in plain.about + plain.story
    assert quantised.about == "samples of tiny quantised to 4bit" and "tiny quantised to 4bit, from" in quantised.story
