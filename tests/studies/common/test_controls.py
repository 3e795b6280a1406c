"""What evaluations are checked with, and what is said where a figure cannot tell a control from a trained SAE."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from faithful.formats.files import save_sae
from faithful.models.spec import ModelSpec
from faithful.sae.threshold import ThresholdSAE
from faithful.store.saes import find_saes
from studies.catalog import KNOWN
from studies.common.codes import Moments, pooled
from studies.common.controls import (
    PERMUTED,
    UNTRAINED,
    beside,
    common_threshold,
    control_saes,
    frozen_shapes,
    permuted_model,
    permuted_sae,
    untrained_sae,
)
from studies.common.tables import control_tables
from studies.statistics.estimates import contrast, estimate
from studies.statistics.resampled import Resampled
from studies.statistics.sentences import ABOVE_TRUTH, AS_GOOD, BEHIND, BELOW_TRUTH, NOT_SHOWN, ORACLE, standing
from tests.studies.random_saes import random_sae, write_plain, write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_permuted_weights_keep_their_entries(family_model: Model) -> None:
    _, model = family_model("gpt2")
    other = permuted_model(model, seed=0)
    for (name, before), (_, after) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        assert torch.equal(before, after) == (before.dim() == 1 or before.unique().numel() == 1), name
    assert other.get_input_embeddings().weight is other.get_output_embeddings().weight


def test_a_layer_in_8_bit_computes_with_its_permuted_weight() -> None:
    """As bitsandbytes has it: int8 beside the parameter, before the first pass and after it."""
    before, after = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    after.state = SimpleNamespace(CB=after.weight.data.clone())
    before.state, before.weight.CB = SimpleNamespace(CB=None), before.weight.data.clone()
    first, second = permuted_model(torch.nn.Sequential(before, after), seed=0)
    assert torch.equal(second.state.CB, second.weight.data) and not torch.equal(second.state.CB, after.state.CB)
    assert first.state.CB is None
    if hasattr(first.weight, "CB"):  # a plain parameter's copy loses what bitsandbytes' keeps
        assert torch.equal(first.weight.CB, first.weight.data)


def test_no_row_of_a_permuted_decoder_stays_and_codes_do() -> None:
    sae = random_sae(8, 24, 4, seed=0)
    other, x = permuted_sae(sae, seed=1), torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sae.encode(x), other.encode(x)) and not torch.equal(sae.reconstruct(x), other.reconstruct(x))
    same = (sae.W_dec[:, None] == other.W_dec[None]).all(-1)
    assert same.sum(0).tolist() == same.sum(1).tolist() == [1] * 24 and not same.diagonal().any()
    assert torch.equal(other.W_dec, permuted_sae(sae, seed=1).W_dec)
    assert not torch.equal(other.W_dec, permuted_sae(sae, seed=2).W_dec)


def test_no_living_latent_gets_the_row_of_one_that_is_shut() -> None:
    sae = random_sae(8, 24, 4, seed=0)
    sae.W_dec[::2] = 0
    other = permuted_sae(sae, seed=1)
    assert not other.W_dec[::2].any() and other.W_dec[1::2].any(1).all()
    same = (sae.W_dec[1::2, None] == other.W_dec[None, 1::2]).all(-1)
    assert same.sum(0).tolist() == same.sum(1).tolist() == [1] * 12 and not same.diagonal().any()


def test_an_sae_from_elsewhere_has_no_known_start(tmp_path: Path) -> None:
    write_recorded(tmp_path / "ours", "own", 3, 8, 24)
    write_plain(tmp_path / "theirs", 8, 24)
    mean = torch.full((8,), 0.5)
    (ours,), (theirs,) = find_saes([tmp_path / "ours"]), find_saes([tmp_path / "theirs"])
    moments = Moments(mean, torch.eye(8, dtype=torch.float64), 9)
    made = {one.control: one.make(moments) for one in control_saes([ours], most=1, seed=0)}
    assert list(made) == [PERMUTED, UNTRAINED] and torch.equal(made[UNTRAINED].b_dec, mean)
    assert torch.equal(made[UNTRAINED].W_enc.T, made[UNTRAINED].W_dec)
    assert [one.control for one in control_saes([theirs], most=1, seed=0)] == [PERMUTED]


def test_an_untrained_sae_is_of_the_kind_of_the_trained_one(run: Path, tmp_path: Path) -> None:
    """One that fires above thresholds does so from its start on, about as often as k asks for."""
    sae, generator = find_saes([run / "saes"])[0], torch.Generator().manual_seed(0)
    x = torch.randn(4000, sae.d_in, generator=generator) @ torch.randn(sae.d_in, sae.d_in, generator=generator) + 3
    one, two = (
        Moments(part.double().mean(0), torch.cov(part.double().T, correction=0), 2000) for part in x.split(2000)
    )
    mean, covariance = pooled([one, two]).mean, pooled([one, two]).covariance
    assert torch.allclose(covariance, torch.cov(x.double().T, correction=0))
    topk = untrained_sae(sae, mean, covariance)
    assert (topk.activation, topk.k) == ("topk", sae.record["identity"]["k"])
    free = ThresholdSAE(topk.W_enc, topk.b_enc, topk.W_dec, topk.b_dec, torch.ones(sae.d_sae))
    save_sae(tmp_path, free, {"faithful": {"identity": sae.record["identity"]}})
    (other,) = find_saes([tmp_path])
    begun = untrained_sae(other, mean, covariance)
    assert begun.activation == "jumprelu" and begun.k is None and torch.equal(begun.W_dec, topk.W_dec)
    assert float((begun.encode(x) > 0).sum(1).double().mean()) == pytest.approx(topk.k, rel=0.1)
    assert untrained_sae(other, mean).activation == "topk"
    made = control_saes([other], most=1, seed=0)[1].make(pooled([one, two]))
    assert made.activation == "jumprelu" and torch.equal(made.encode(x), begun.encode(x))


def test_the_common_threshold_is_0_where_all_fire_too_little() -> None:
    rows, covariance = torch.eye(4), torch.eye(4, dtype=torch.float64)
    assert common_threshold(rows, covariance, 1) == pytest.approx(0.67449, abs=1e-5)  # the upper quartile
    assert common_threshold(rows, covariance, 3) == pytest.approx(0, abs=1e-12)


class Cell:
    """As much of an SAE as its shape needs."""

    def __init__(self, shape: str, **identity: Any) -> None:
        self.shape, self.identity = shape, {"hook": "h", "d_sae": 8, "k": 2} | identity


def test_frozen_shapes_are_those_of_the_same_grid() -> None:
    cells: list[Any] = [
        Cell("a"), Cell("b", variant="frozen-decoder"), Cell("c", variant="l2"), Cell("d", variant="soft-frozen", k=4),
    ]  # fmt: skip
    assert frozen_shapes(cells, "a") == {"frozen-decoder": "b"}
    assert frozen_shapes(cells, "from elsewhere") == {}


@pytest.mark.parametrize(
    ("of_control", "higher", "state"),
    [
        ([0.4, 0.5, 0.45], True, BEHIND),
        ([0.4, 0.5, 0.45], False, AS_GOOD),  # less is better, and the control has less
        ([0.82, 0.84, 0.8], True, NOT_SHOWN),  # a mean below, within the noise of the seeds
        ([0.85, 0.86, 0.86], True, AS_GOOD),  # a mean above, within that noise
        ([0.9, 0.8, 0.85], True, AS_GOOD),  # the very figures
        ([0.4], True, BEHIND),  # no interval from one seed
        ([0.95], True, AS_GOOD),
    ],
)
def test_how_a_control_stands_and_what_is_said_of_it(of_control: list[float], higher: bool, state: str) -> None:
    trained = {"own": dict(enumerate([0.9, 0.8, 0.85][: len(of_control)])), "web": {0: 1.0}}
    summary = {"beside": beside("m", trained, {PERMUTED: {"own": dict(enumerate(of_control)), "web": {}}}, higher)}
    (one,) = summary["beside"]
    assert standing(one) == state and (one["ci95"] is None) == (len(of_control) < 3)
    words = "By m a control scores as well as the trained SAEs or better (permuted decoder on own): it is no measure of"
    ahead = (
        "By m trained SAEs are ahead of a control, but are not shown to be better: permuted decoder on own (3 seeds)."
    )
    said = {AS_GOOD: [f"{words} quality here."], NOT_SHOWN: [ahead], BEHIND: []}[state]
    assert KNOWN["reconstruction"].cautions(summary) == said
    (table,) = control_tables(summary)
    assert table.header == ("metric", "corpus", "trained", PERMUTED)
    assert ("‡" in table.rows[0][3]) == (state == AS_GOOD) and ("†" in table.rows[0][3]) == (state == NOT_SHOWN)
    assert control_tables({}) == KNOWN["reconstruction"].cautions({}) == []


def test_what_was_drawn_widens_the_interval_whatever_seeds_the_control_has() -> None:
    """Beside a control of three of six seeds stands what its draws make of these three."""
    rng = np.random.default_rng(0)
    text = rng.normal(0, 0.05, 400)
    values = {seed: 0.8 + 0.01 * seed for seed in range(6)}
    trained = Resampled(values, {seed: value + text for seed, value in values.items()}, 40)
    few = Resampled({seed: 0.6 + 0.01 * seed for seed in range(3)}, dict.fromkeys(range(3), 0.6 - text), 40)
    plain = {"own": dict(trained)}, {UNTRAINED: {"own": dict(few)}}
    (one,), (alone,) = beside("m", {"own": trained}, {UNTRAINED: {"own": few}}), beside("m", *plain)
    same = Resampled({seed: values[seed] for seed in range(3)}, trained.draws, 40)
    assert one["trained"] == estimate(same).summary() and one["trained"]["error_drawn"] > 0.04
    assert one["ci95"] == list(contrast(same, few).ci95 or ()) and one["ahead"] == alone["ahead"]
    assert one["ci95"][0] < alone["ci95"][0] and one["ci95"][1] > alone["ci95"][1]
    (table,), (without,) = control_tables({"beside": [one]}), control_tables({"beside": [alone]})
    assert "over seeds, of m over the examples or contexts drawn too; " in table.title
    assert "over seeds; " in without.title


@pytest.mark.parametrize(("of_truth", "state"), [(1.0, BELOW_TRUTH), (0.85, BELOW_TRUTH), (0.8, ABOVE_TRUTH)])
def test_the_truth_is_what_trained_saes_must_not_exceed(of_truth: float, state: str) -> None:
    """Equal to it they may be; the noise of the seeds plays no part."""
    summary = {
        "beside": beside("m", {"own": {0: 0.9, 1: 0.8, 2: 0.85}}, {ORACLE: {"own": dict.fromkeys(range(3), of_truth)}})
    }
    assert standing(summary["beside"][0]) == state
    above = "By m trained SAEs score better than the truth itself (oracle on own): it is no measure of quality here."
    assert KNOWN["synthetic"].cautions(summary) == ([above] if state == ABOVE_TRUTH else [])
    (table,) = control_tables(summary)
    assert "§" in table.title and table.rows[0][3].endswith("§") == (state == ABOVE_TRUTH)
