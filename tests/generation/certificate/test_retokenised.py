"""Samples that came as texts: what drawing some here and sending them through text as well can tell, and what not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Manifest
from generation.certificate import retokenised
from generation.certificate.conclude import NOT_FROM, TOO_FEW
from generation.certificate.retokenised import (
    RETOKENISED,
    against_drawn,
    drawn_through_text,
    held_against_drawn,
    undecided_with_text,
)
from generation.certificate.score_part import score_evidence
from generation.sampling.distribution import Sampling
from tests.documented import undocumented
from tests.generation.certificate.own_text import external

Model = Callable[[str], tuple[ModelSpec, Any]]
OWN = Sampling(max_tokens=31)


@pytest.fixture(scope="module")
def through_text(family_model: Model) -> Callable[..., tuple[list[np.ndarray], float]]:
    spec, model = family_model("gpt2")

    def drawn(sampling: Sampling, seed: int, count: int = 150, ends_known: float = 1) -> tuple[list[np.ndarray], float]:
        tokenizer = load_tokenizer(spec.source, None)
        return drawn_through_text(model, spec, tokenizer, sampling, count, seed, ends_known=ends_known)

    return drawn


def judged(family_model: Model, theirs: list[np.ndarray], ours: list[np.ndarray], changed: float) -> dict[str, Any]:
    spec, model = family_model("gpt2")
    scored = score_evidence(external(theirs), model, spec, OWN)
    result = scored.certificate(as_declared=True)
    return result | against_drawn(
        result, scored.evidence, score_evidence(external(ours), model, spec, OWN).evidence, changed
    )


def test_samples_that_went_through_text_are_not_condemned(through_text: Any, family_model: Model) -> None:
    (theirs, _), (ours, changed) = through_text(OWN, 1), through_text(OWN, 2)
    assert changed > 0.5, "random tokens do not come back from their text"
    found = judged(family_model, theirs, ours, changed)
    low, high = found["against_drawn"]["ci95"]
    assert low < 0 < high
    assert found["verdict"] == f"{RETOKENISED}: not decidable beyond ±{max(-low, high):.2g} nats per token"
    spec, model = family_model("gpt2")
    alone = score_evidence(external(theirs), model, spec, OWN).certificate(as_declared=True)
    assert alone["verdict"] == NOT_FROM, "what this is for"
    assert undocumented("Certificate", {*found["tests"], "against_drawn"}) == []


def test_samples_are_drawn_as_every_corpus_is_and_as_many_together_as_memory_has_room_for(
    through_text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, slots = retokenised.checked_engine, []

    def engine(model: Any, spec: ModelSpec, sampling: Sampling, count: int) -> Any:
        slots.append(count)
        return checked(model, spec, sampling, count)

    monkeypatch.setattr(retokenised, "checked_engine", engine)
    (whole, _), (fewer, _) = through_text(OWN, 1), through_text(OWN, 1, 8)
    monkeypatch.setattr(retokenised, "free_memory", lambda _: 1)
    (alone, _) = through_text(OWN, 1, 8)
    assert slots == [64, 8, 1]
    assert [row.tolist() for row in alone] == [row.tolist() for row in fewer] == [row.tolist() for row in whole[:8]]


def test_other_samples_are_told_through_their_text(through_text: Any, family_model: Model) -> None:
    cooler, _ = through_text(Sampling(temperature=0.6, max_tokens=31), 1)
    found = judged(family_model, cooler, *through_text(OWN, 2))
    assert found["verdict"] == NOT_FROM and found["reason"].startswith("pit tell")
    assert found["tests"]["pit"]["p_holm"] < 1e-6


def test_samples_that_are_there_twice_are_told(through_text: Any, family_model: Model) -> None:
    theirs, _ = through_text(OWN, 1)
    found = judged(family_model, [*theirs, *theirs[:3]], *through_text(OWN, 2))
    assert found["verdict"] == NOT_FROM and found["reason"].startswith("copy tell")


def test_few_texts_decide_nothing(through_text: Any, family_model: Model) -> None:
    theirs, _ = through_text(OWN, 1, count=20)
    assert judged(family_model, theirs, *through_text(OWN, 2))["verdict"] == TOO_FEW


def test_ends_are_kept_only_where_the_texts_tell_theirs(through_text: Any, family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    with_ends, without = through_text(OWN, 1)[0], through_text(OWN, 1, ends_known=0)[0]
    assert any(int(document[-1]) in spec.eos_ids for document in with_ends)
    assert not any(int(token) in spec.eos_ids for document in without for token in document)
    closed = sum(int(document[-1]) in spec.eos_ids for document in with_ends)
    few = sum(int(document[-1]) in spec.eos_ids for document in through_text(OWN, 1, ends_known=0.5)[0])
    assert 0 < few < closed, "of some texts the end is known"


@pytest.mark.parametrize("drawn_in", [None, "float32"])
def test_both_sides_are_scored_alike_and_the_tokenizer_is_where_the_model_has_its_files(
    through_text: Any, family_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn_in: str | None
) -> None:
    spec, model = family_model("gpt2")
    files, sampling, seen = spec.source, Sampling(top_k=20, max_tokens=31), []

    def score(*args: Any, **how: Any) -> Any:
        seen.append(score_evidence(*args, **how))
        return seen[-1]

    monkeypatch.setattr(retokenised, "score_evidence", score)
    monkeypatch.setattr(ModelSpec, "files", property(lambda self: files))
    elsewhere = replace(spec, source=str(tmp_path / "model.gguf"))
    part = external(through_text(sampling, 1, count=40)[0])
    scored = score_evidence(part, model, spec, sampling, sampled_in=drawn_in or "bfloat16")
    result = scored.certificate(as_declared=True)
    manifest = Manifest("x", "foreign", {"drawn_in": drawn_in}, {"samples": {"samples": 40}}, {"train": 0, "test": 0})
    held_against_drawn(manifest, scored, result, part, model, elsewhere, sampling)
    assert [found.delta for found in seen] == [scored.delta]


def test_what_holds_texts_of_samples_decides_nothing_however_they_came_in() -> None:
    texts = {"name": "texts", "kind": "foreign", "identity": {"source": {"samples": {"are_ids": False}}}}
    mixed = {
        "name": "mixed", "kind": "derived", "identity": {"derivation": {"inputs": [{"name": "texts"}]}},
        "provenance": {"inputs": [texts]},
    }  # fmt: skip
    ids = texts | {"identity": {"source": {"samples": {"are_ids": True}}}}

    def said(taken: str, part: Any, verdict: str = NOT_FROM) -> Any:
        identity: Any = {"derivation": {"operation": "mix", "inputs": [{"name": taken}]}}
        manifest = Manifest("x", "derived", identity, {"inputs": [part]}, {"train": 0, "test": 0})
        return undecided_with_text(manifest, {"verdict": verdict}).get("verdict")

    assert said("texts", texts) == said("mixed", mixed) == f"{RETOKENISED}: not decidable"
    assert said("texts", texts, TOO_FEW) is None
    assert said("texts", ids) is None
    assert said("own", texts) is None, "only its lengths were taken"
