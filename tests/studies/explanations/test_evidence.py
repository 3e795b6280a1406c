"""Latents that each fire on a word of their own: what is shown, what is judged, and that the words tell."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from studies.common.codes import CodedText, Codes
from studies.explanations.evidence import AFTER, BEFORE, Evidence, Latents

WORDS, CONTEXT, ROWS = 50, 64, 200


def planted(seed: int = 0, d_sae: int = 10) -> tuple[CodedText, Codes]:
    """Latent i fires on word i alone, with strength that differs from place to place; the last fires on everything."""
    random = np.random.default_rng(seed)
    rows = [random.integers(WORDS, size=CONTEXT) for _ in range(ROWS)]
    owners, positions = np.divmod(random.permutation(ROWS * (CONTEXT - 1)), CONTEXT - 1)
    positions = positions + 1
    words = np.array([rows[owner][at] for owner, at in zip(owners, positions, strict=True)])
    strength = random.uniform(0.5, 4.0, len(words))
    values = np.stack([np.where(words < d_sae - 1, strength, 0.0), np.ones(len(words))], 1)
    latents = np.stack([np.minimum(words, d_sae - 2), np.full(len(words), d_sae - 1)], 1)
    codes = Codes(torch.from_numpy(values).float(), torch.from_numpy(latents).int(), d_sae)
    return CodedText(rows, owners, positions, [codes]), codes


def word(token_id: int) -> str:
    return f" w{token_id:02d}x"


def reading(ids: Sequence[int]) -> list[tuple[str, int]]:
    return [(word(one), 1) for one in ids]


def drawn(most: int = 20, shown: int = 5, judged: int = 8) -> tuple[list[Evidence], float]:
    coded, codes = planted()
    found = Latents(coded, codes, reading, 0).drawn(most, shown, judged)
    return found["latents"], found["eligible"]


def test_contexts_are_those_in_which_a_latent_fires_and_others() -> None:
    coded, _ = planted()
    found, eligible = drawn()
    assert eligible == 0.9 and sorted(one["latent"] for one in found) == list(range(9)), (
        "not the one that fires everywhere"
    )
    for one in found:
        name = word(one["latent"])
        assert len(one["shown"]) == 5 and sum(one["fires"]) == 8 and len(one["fires"]) == 16
        assert 0.015 < one["density"] < 0.025
        for window, fires in [
            *((window, 1) for window in one["shown"]),
            *zip(one["judged"], one["fires"], strict=True),
        ]:
            assert (name in window["tokens"]) == bool(fires) == any(window["values"])
            assert [value > 0 for value in window["values"]] == [token == name for token in window["tokens"]]
            assert len(window["tokens"]) <= BEFORE + AFTER
            row = [word(int(token)) for token in coded.rows[window["row"]][1:]]
            assert "".join(window["tokens"]) in "".join(row), "BOS is not shown"
        assert len({window["row"] for window in [*one["shown"], *one["judged"]]}) == 21, "each of a context of its own"
        strongest = max(max(window["values"]) for window in one["shown"])
        assert strongest >= max(max(window["values"]) for window in one["judged"]), "the strongest is shown"


def test_more_latents_are_the_same_and_further_ones() -> None:
    few, _ = drawn(3)
    many, _ = drawn(6)
    assert many[:3] == few and len(few) == 3
    assert drawn(3)[0] == few


def test_the_share_that_has_enough_is_not_too_large_where_the_search_ends_early() -> None:
    """Every second latent of many fires in one context alone."""
    coded, _ = planted()
    values = torch.ones(len(coded.owners), 1)
    shares = []
    for seed in range(60):
        latents = torch.from_numpy(np.where(coded.owners < 100, coded.owners % 20, 40 + coded.owners % 100)).int()[
            :, None
        ]
        found = Latents(coded, Codes(values, latents, 40 + 100), reading, seed).drawn(3, 2, 2)
        shares.append(found["eligible"])
    assert np.mean(shares) == pytest.approx(20 / 140, abs=0.05)


def test_a_firing_however_weak_is_none_of_the_silent() -> None:
    coded, codes = planted()
    weak = Latents(coded, Codes(codes.values * 1e-7, codes.latents, codes.d_sae), reading, 0).drawn(20, 5, 8)["latents"]
    strong = drawn()[0]
    assert [one["fires"] for one in weak] == [one["fires"] for one in strong]
    for one, other in zip(weak, strong, strict=True):
        assert [w["tokens"] for w in one["judged"]] == [w["tokens"] for w in other["judged"]]
        assert all(max(window["values"]) > 0 for window in one["shown"])


@pytest.mark.parametrize(("shown", "judged"), [(200, 5), (5, 180)])
def test_latents_without_enough_contexts_are_left_out(shown: int, judged: int) -> None:
    assert drawn(3, shown, judged) == ([], 0)
