"""Pairs of SAEs are matched with little of them in memory, by any number of workers."""

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, find_saes
from studies.common.codes import InTurn
from studies.seeds.pairs import Matcher, assignments, pairs_of
from tests.studies.random_saes import write_recorded

SEEDS = 6


class Alive:
    """Counts what is loaded of SAEs, and how much of it is still held by anyone."""

    def __init__(self, patch: pytest.MonkeyPatch, method: str) -> None:
        self.loads, self.most = 0, 0
        loaded: list[weakref.ref[Autoencoder | Tensor]] = []
        load = getattr(TrainedSae, method)

        def counted(sae: TrainedSae, *name: str) -> Any:
            self.loads += 1
            if sum(one() is not None for one in loaded) > 1:
                gc.collect()  # what only a circle holds is not held; slow, so only where it matters
            self.most = max(self.most, 1 + sum(one() is not None for one in loaded))
            found = load(sae, *name)
            loaded.append(weakref.ref(found))
            return found

        patch.setattr(TrainedSae, method, counted)


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory) -> list[TrainedSae]:
    """SAEs of two corpora; never change them."""
    folder = tmp_path_factory.mktemp("saes")
    for seed in range(SEEDS):
        write_recorded(folder, "own" if seed % 2 else "web", seed, 8, 24)
    return find_saes([folder])


def matcher(folder: Path) -> Matcher:
    spec = SimpleNamespace(revision="r", precision="float32")
    found: Any = SimpleNamespace(spec=spec, hook=SimpleNamespace(name="resid_pre.1"), device="cpu")
    return Matcher(found, None, folder)


def test_two_tensors_at_most_are_in_memory(
    saes: list[TrainedSae], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders and encoders one after the other; both encoders for the cosines of partners."""
    alive, one = Alive(monkeypatch, "tensor"), matcher(tmp_path)
    pairs = pairs_of(saes)
    assert len(pairs) == SEEDS * (SEEDS - 1) / 2
    found = one.match_all(pairs, [], 1)
    assert list(found) == pairs and one.reused == 0
    assert alive.most == 2 and alive.loads == 6 * len(pairs)
    again = matcher(tmp_path)
    assert [pair.figures for pair in again.match_all(pairs, [], 1).values()] == [
        pair.figures for pair in found.values()
    ]
    assert again.reused == len(pairs) and alive.loads == 6 * len(pairs)
    assert assignments(found.values())["paths"] == {"all pairs": 2 * len(pairs)}


def test_workers_match_the_same(saes: list[TrainedSae], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # so that workers are forked
    pairs = pairs_of(saes[:4])
    one, three = (matcher(tmp_path / str(workers)).match_all(pairs, [], workers) for workers in (1, 3))
    assert [(pair.figures, pair.columns.tolist()) for pair in three.values()] == [
        (pair.figures, pair.columns.tolist()) for pair in one.values()
    ]


def test_what_is_kept_is_not_read_again(
    saes: list[TrainedSae], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher(tmp_path).match_all(pairs_of(saes[:4]), [], 1)
    alive, more = Alive(monkeypatch, "tensor"), matcher(tmp_path)
    told: list[tuple[int, int]] = []
    more.match_all(pairs_of(saes[:5]), [], 1, lambda point: told.append((point.done, point.total)))
    assert more.reused == 6 and told == [(done, 10) for done in (7, 8, 9, 10)]
    assert alive.loads == 6 * 4


def test_the_panel_is_coded_with_one_sae_after_the_other(
    saes: list[TrainedSae], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = Alive(monkeypatch, "load")
    for one in InTurn([sae.load for sae in saes]):
        assert one.d_sae == 24
        del one
    assert alive.most == 1 and alive.loads == len(saes)


def test_saes_are_listed_without_their_weights(saes: list[TrainedSae], monkeypatch: pytest.MonkeyPatch) -> None:
    alive = Alive(monkeypatch, "load")
    monkeypatch.setattr("safetensors.torch.load_file", lambda *_: pytest.fail("weights read"))
    (found, *_) = find_saes([saes[0].folder])
    assert (found.d_in, found.d_sae, found.shape) == (8, 24, "resid_pre.1-f24-k4")
    assert found.outline.W_dec.is_meta and alive.loads == 0
