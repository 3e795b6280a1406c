"""Examples of latents as the report shows them."""

from typing import Any

import pytest

from studies.report.examples import examples_of


def row(**more: Any) -> dict[str, Any]:
    return {"corpus": "own", "tokens": ["a", "b", "c"], "values": [0.0, 4.0, -1.0], "note": None} | more


def test_tokens_have_their_share_of_the_largest_activation() -> None:
    (found,) = examples_of(row())
    assert (found.corpus, found.note) == ("own", "")
    assert found.tokens == [("a", 0.0, 0.0), ("b", 1.0, 4.0), ("c", 0.0, -1.0)]


def test_a_context_in_which_nothing_is_active_is_shown_all_the_same() -> None:
    (found,) = examples_of(row(values=[0.0, 0.0, 0.0]))
    assert [share for _, share, _ in found.tokens] == [0.0, 0.0, 0.0]
    (empty,) = examples_of(row(tokens=[], values=[]))
    assert empty.tokens == []


@pytest.mark.parametrize(
    ("seed", "said"), [(1, "the SAE of web, seed 1: latent 7"), (None, "the SAE of web: latent 7")]
)
def test_the_partner_s_context_comes_after_it(seed: int | None, said: str) -> None:
    partner = {
        "partner_corpus": "web", "partner_seed": seed, "partner_latent": 7, "partner_cosine": 0.876, "partner_text": "own",
        "partner_tokens": ["x"], "partner_values": [2.0],
    }  # fmt: skip
    mine, other = examples_of(row(note="most reproducible", **partner))
    assert mine.note == "most reproducible"
    assert other.note == f"its partner in {said}, cosine 0.88"
    assert (other.corpus, other.tokens) == ("own", [("x", 1.0, 2.0)])
