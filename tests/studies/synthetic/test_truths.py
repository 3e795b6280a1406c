"""Truths: what they are made of, and that every stream can be drawn again."""

import pytest
import torch

from studies.synthetic.truths import EVALUATION, PER_DIMENSION, TOGETHER, TRAINING, Truth, make_truth


@pytest.fixture(scope="module")
def hier() -> Truth:
    return make_truth("hier", 0, 128)


def drawn(truth: Truth, stream: int, tokens: int) -> torch.Tensor:
    return torch.cat(list(truth.features(stream, tokens)))


def test_hier_is_trees_of_1_4_16(hier: Truth) -> None:
    assert len(hier.vectors) == 768 and torch.allclose(hier.vectors.norm(dim=1), torch.ones(768))
    assert int((hier.parents < 0).sum()) == 32 + 96
    children = torch.bincount(hier.parents[hier.parents >= 0], minlength=768)
    assert children[:160].tolist() == [4] * 160 and not children[160:].any()


def test_children_fire_with_their_parents_and_half_the_families_exclude_each_other(hier: Truth) -> None:
    fires = drawn(hier, TRAINING, 20_000) > 0
    children = torch.nonzero(hier.parents >= 0).flatten()
    assert not (fires[:, children] & ~fires[:, hier.parents[children]]).any()
    assert 10 < float(fires.sum(1).float().mean()) < 12
    families = [torch.nonzero(hier.parents == parent).flatten() for parent in range(160)]
    most = torch.tensor([int(fires[:, family].sum(1).max()) for family in families])
    assert 80 <= int((most == 1).sum()) < 110


@pytest.mark.parametrize("name", ["ind", "foreign"])
def test_the_others_fire_independently_and_equally_often(name: str) -> None:
    truth = make_truth(name, 3, 64)
    assert len(truth.vectors) == PER_DIMENSION[name] * 64 and not (truth.parents >= 0).any()
    rates = (drawn(truth, TRAINING, 20_000) > 0).float().mean(0)
    assert float(rates.sum()) == pytest.approx(TOGETHER * 64, rel=0.03)
    assert float(rates.std()) < 0.1 * float(rates.mean()) + 0.003


def test_a_stream_is_a_function_of_truth_seed_and_place() -> None:
    before = torch.get_rng_state()
    truth = make_truth("hier", 1, 16)
    whole, part = drawn(truth, TRAINING, 6000), drawn(make_truth("hier", 1, 16), TRAINING, 4500)
    assert torch.equal(torch.get_rng_state(), before)
    assert whole.shape == (6000, 96) and torch.equal(whole[:4500], part)
    assert torch.allclose(truth.activations(TRAINING, 6000), whole @ truth.vectors)
    others = [drawn(truth, EVALUATION, 4096), drawn(make_truth("hier", 2, 16), TRAINING, 4096), whole[-1904:]]
    for other in others:
        assert not torch.equal(other, whole[: len(other)])
