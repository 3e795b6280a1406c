"""Rules on SAEs whose foreign latents are known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faithful.base.progress import silent
from faithful.sae.threshold import ThresholdSAE
from studies.common.foreign import RULE, quantiles_of
from studies.common.results import Done
from studies.synthetic.bench import Bench
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.figures import draw
from studies.synthetic.planted import (
    FOREIGN,
    ITS,
    OWN,
    STIMULI,
    WITH,
    WITHOUT,
    judged,
    reference_of,
    study_planted,
    texts_of,
)
from studies.synthetic.tables import synthetic_tables
from studies.synthetic.truths import make_truth


def axes(bias: float = 0.0) -> ThresholdSAE:
    """ReLU on the eight axes."""
    eye = torch.eye(8)
    return ThresholdSAE(eye, torch.full((8,), bias), eye, torch.zeros(8), torch.zeros(8))


def text(latents: list[int], often: float, size: float) -> Tensor:
    """Tokens on which these latents fire so much, in turn, on so large a share each."""
    x = torch.zeros(10_000, 8)
    for place, latent in enumerate(latents):
        x[int(place * often * 10_000) : int((place + 1) * often * 10_000), latent] = size
    return x


@pytest.fixture
def texts() -> dict[str, Tensor]:
    """Latents 0 to 5 are of the truth, 6 and 7 of `foreign`, which wakes them weakly on a hundredth of the truth's tokens."""
    own = text([0, 1, 2, 3, 4, 5], 0.1, 1.0) + text([6, 7], 0.006, 0.1)
    other = text([6, 7], 0.1, 1.0)
    mixed = torch.cat([own[::2], other[::2]])
    return {OWN: own, ITS: mixed, FOREIGN: other, STIMULI[0]: text([0], 0.5, 0.3), STIMULI[1]: text([1], 0.5, 2.0)}


def test_strong_firing_tells_what_density_does_not(texts: dict[str, Tensor]) -> None:
    foreign = replace(make_truth(FOREIGN, 0, 8), vectors=torch.eye(8)[6:])
    found = judged(axes(), texts, foreign)
    assert found["learned"] == 2
    assert found["density"] == {STIMULI[0]: [0, 0], STIMULI[1]: [0, 0], FOREIGN: [0, 0], ITS: [0, 0]}
    assert found["strong"] == {STIMULI[0]: [0, 0], STIMULI[1]: [0, 0], FOREIGN: [2, 0], ITS: [2, 0]}
    assert found["sweep"][f"{RULE.quantile:g} {RULE.share:g}"] == found["strong"]
    assert found["l0"][FOREIGN] == pytest.approx(0.2 / 0.612) and found["l0"][OWN] == 1.0


def test_the_reference_is_that_of_the_rule() -> None:
    codes = torch.rand(3000, 5, generator=torch.Generator().manual_seed(0))
    codes[codes < torch.tensor([0.1, 0.9, 0.999, 0.0, 2.0])] = 0
    expected = quantiles_of(codes, torch.arange(5).expand(3000, 5), 5, [0.99])[0]
    assert torch.equal(reference_of(codes.T.contiguous().sort(1).values, 0.99), expected)


def test_noise_is_as_large_as_the_truth() -> None:
    truth = make_truth("ind", 0, 16)
    own = truth.activations(0, 20_000)
    made = texts_of(own, make_truth(FOREIGN, 0, 16), 0)
    sizes = {name: float(x.square().sum(1).mean()) for name, x in made.items()}
    assert sizes[STIMULI[0]] == pytest.approx(sizes[OWN], rel=0.03)
    assert sizes[STIMULI[1]] == pytest.approx(sizes[OWN], rel=0.03)
    assert torch.allclose(torch.cov(made[STIMULI[1]].T), torch.cov(own.T), atol=0.02)
    assert torch.equal(made[ITS][1::5], own[1::5]) and torch.equal(made[ITS][::5], made[FOREIGN][::5])


def test_both_trainings_are_judged_once_and_shown(small: SyntheticConfig, done: Done, tmp_path: Path) -> None:
    both = ("topk", "batchtopk")
    config = replace(small, out=tmp_path, truths=("ind",), variants=both, settings=(), planted=both)
    bench = Bench(config)
    found = study_planted(bench, silent)
    assert list(found) == ["topk on ind", "batchtopk on ind"] and list(found["topk on ind"]) == [WITH, WITHOUT]
    assert found["topk on ind"][WITHOUT]["learned"]["value"] < found["topk on ind"][WITH]["learned"]["value"]
    assert len(list((tmp_path / "cells").glob("*.json"))) == 6
    bench.train = None  # type: ignore[assignment, method-assign]
    assert study_planted(bench, silent) == found
    summary = {**done.summary, "planted": found}
    titles = [table.title for table in synthetic_tables(summary)]  # type: ignore[arg-type]
    assert [title for title in titles if title.startswith("Planted")] == [
        "Planted foreign latents: flagged where they fire often on a stimulus and seldom on the truth",
        "Planted foreign latents: sweep of the rule for strong firing",
    ]
    draw(summary, tmp_path)  # type: ignore[arg-type]
    assert ">batchtopk on ind<" in (tmp_path / "planted.svg").read_text(encoding="utf-8")
