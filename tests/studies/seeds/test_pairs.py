"""Pairs of SAEs are matched with the weights of few in memory."""

import gc
import weakref
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, find_saes
from studies.common.codes import InTurn
from studies.seeds.pairs import Matcher, assignments, in_loading_order, pairs_of
from tests.studies.random_saes import write_recorded

SEEDS = 12


class Alive:
    """Counts the SAEs that are loaded, and those of them that are still held by anyone."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loads, self.most = 0, 0
        loaded: list[weakref.ref[Autoencoder]] = []
        load = TrainedSae.load

        def counted(sae: TrainedSae) -> Autoencoder:
            gc.collect()
            self.loads += 1
            self.most = max(self.most, 1 + sum(one() is not None for one in loaded))
            found = load(sae)
            loaded.append(weakref.ref(found))
            return found

        patch.setattr(TrainedSae, "load", counted)


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory) -> list[TrainedSae]:
    """SAEs of two corpora; never change them."""
    folder = tmp_path_factory.mktemp("saes")
    for seed in range(SEEDS):
        write_recorded(folder, "own" if seed % 2 else "web", seed, 8, 24)
    return find_saes([folder])


def matcher(folder: Path) -> Matcher:
    spec = SimpleNamespace(revision="r", dtype="float32")
    found: Any = SimpleNamespace(spec=spec, hook=SimpleNamespace(name="resid_pre.1"), device="cpu")
    return Matcher(found, None, folder)


def test_three_saes_at_most_are_in_memory_and_each_is_loaded_rarely(
    saes: list[TrainedSae], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, one = Alive(monkeypatch), matcher(tmp_path)
    pairs = pairs_of(saes)
    assert len(pairs) == SEEDS * (SEEDS - 1) / 2
    found = one.match_all(pairs, [])
    assert list(found) == pairs and one.reused == 0
    assert alive.most == 3
    assert alive.loads <= SEEDS**2 / 4 + SEEDS
    again = matcher(tmp_path)
    assert [pair.figures for pair in again.match_all(pairs, []).values()] == [pair.figures for pair in found.values()]
    assert again.reused == len(pairs) and alive.loads <= SEEDS**2 / 4 + SEEDS
    assert assignments(found.values())["paths"] == {"all pairs": 2 * len(pairs)}


def test_what_is_kept_is_not_loaded_again(
    saes: list[TrainedSae], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher(tmp_path).match_all(pairs_of(saes[:4]), [])
    alive, more = Alive(monkeypatch), matcher(tmp_path)
    told: list[tuple[int, int]] = []
    more.match_all(pairs_of(saes[:5]), [], lambda point: told.append((point.done, point.total)))
    assert more.reused == 6 and told == [(done, 10) for done in (7, 8, 9, 10)]
    assert alive.loads == 5


def test_the_panel_is_coded_with_one_sae_after_the_other(
    saes: list[TrainedSae], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = Alive(monkeypatch)
    for one in InTurn(saes):
        assert one.d_sae == 24
        del one
    assert alive.most == 1 and alive.loads == len(saes)


def test_every_pair_comes_once_with_two_that_stay() -> None:
    names: Any = list("abcdefg")
    pairs = list(combinations(names, 2))
    order = list(in_loading_order(pairs))
    assert sorted(pair for pair, _ in order) == pairs
    assert all(stay & set(pair) and len(stay) == 2 for pair, stay in order)
    assert list(in_loading_order([])) == []


def test_saes_are_listed_without_their_weights(saes: list[TrainedSae], monkeypatch: pytest.MonkeyPatch) -> None:
    alive = Alive(monkeypatch)
    monkeypatch.setattr("safetensors.torch.load_file", lambda *_: pytest.fail("weights read"))
    (found, *_) = find_saes([saes[0].folder])
    assert (found.d_in, found.d_sae, found.shape) == (8, 24, "resid_pre.1-f24-k4")
    assert found.outline.W_dec.is_meta and alive.loads == 0
