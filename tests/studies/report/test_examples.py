"""Latents as the report shows them."""

from typing import Any

import pytest

from studies.report.examples import cards_of


def row(**more: Any) -> dict[str, Any]:
    return {"latent": 3, "corpus": "own", "tokens": ["a", "b", "c"], "values": [0.0, 4.0, -1.0], "note": None} | more


def test_tokens_have_their_share_of_the_largest_activation() -> None:
    (card,) = cards_of([row()])
    (found,) = card.contexts
    assert (card.title, found.corpus, found.largest, card.top) == ("latent 3", "own", 4.0, ["b"])
    assert found.tokens == [("a", 0.0, 0.0), ("b", 1.0, 4.0), ("c", 0.0, -1.0)]


def test_a_context_in_which_nothing_is_active_is_shown_all_the_same() -> None:
    (card,) = cards_of([row(values=[0.0, 0.0, 0.0])])
    assert [share for _, share, _ in card.contexts[0].tokens] == [0.0, 0.0, 0.0]
    (empty,) = cards_of([row(tokens=[], values=[])])
    assert empty.contexts[0].tokens == [] and empty.top == []


def test_a_latent_is_one_card_however_many_contexts_it_has() -> None:
    first, second = cards_of([row(note="rare"), row(values=[5.0, 1.0, 0.0]), row(latent=4)])
    assert first.title == "latent 3 · rare" and len(first.contexts) == 2 and first.top == ["b", "a"]
    assert second.title == "latent 4" and len(second.contexts) == 1


@pytest.mark.parametrize(
    ("seed", "said"), [(1, "the SAE of web, seed 1: latent 7"), (None, "the SAE of web: latent 7")]
)
def test_the_partner_s_contexts_stand_together(seed: int | None, said: str) -> None:
    partner = {
        "partner_corpus": "web", "partner_seed": seed, "partner_latent": 7, "partner_cosine": 0.876, "partner_text": "own",
        "partner_tokens": ["x"], "partner_values": [2.0],
    }  # fmt: skip
    (card,) = cards_of([row(note="most reproducible", **partner), row(**partner | {"partner_tokens": []})])
    assert card.title == "latent 3 · most reproducible" and len(card.contexts) == 2
    assert card.partner == f"its partner in {said}, cosine 0.88"
    assert [(one.corpus, one.tokens) for one in card.partner_contexts] == [("own", [("x", 1.0, 2.0)])]
