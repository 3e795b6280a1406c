"""An SAE that is the truth, and one that is half of it."""

import pytest
import torch

from faithful.base.progress import silent
from studies.common.controls import PERMUTED, UNTRAINED, permuted_sae, untrained_topk
from studies.statistics.headlines import Headline
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import HIGHER, JUDGED, SyntheticConfig
from studies.synthetic.evaluate import Evaluated, evaluate, evaluate_oracle
from studies.synthetic.plan import arms_of
from studies.synthetic.recovery import Rows, agreement
from tests.studies.synthetic.known import orthogonal, with_codes


def test_the_truth_as_an_sae() -> None:
    features = (torch.rand(5000, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    features[:, 1] *= features[:, 0]
    truth = orthogonal(features, [-1, 0, -1, -1, -1, -1])
    found = evaluate_oracle(truth, features)
    said = found.figures
    as_sae = evaluate(with_codes(features[:4096], torch.eye(6)), truth, features[:4096])
    assert as_sae.figures == evaluate_oracle(truth, features[:4096]).figures
    assert said["fvu"] == 0.0 and said["dead"] == 0 and said["l0"] == said["true_l0"]
    assert said["recovery"] == said["f1"] == 1.0 and said["absorption"] == 0.0
    assert torch.equal(found.rows, torch.eye(6))


def test_dead_latents_are_no_finds() -> None:
    features = torch.eye(4).repeat(10, 1)
    codes = features.clone()
    codes[:, 2:] = 0
    said = evaluate(with_codes(codes, 3 * torch.eye(4)), orthogonal(features, [-1] * 4), features).figures
    assert (said["alive"], said["dead"], said["recovery"], said["l0"]) == (2, 2, 0.5, 0.5)
    # 10 tokens each: 3 − 1 missed twice, 1 twice; the spread around the mean is 40 · (1 − 1/4)
    assert said["fvu"] == pytest.approx((20 * 4 + 20) / 30)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluated]:
    """The truth itself, a trained SAE, and its controls."""
    config = SyntheticConfig(
        tmp_path_factory.mktemp("out"), variants=("topk",), steps=400, batch=128, d_in=16, tokens=4096
    )
    job, bench = Job("hier", 0, arms_of(config)[0]), Bench(config)
    held = bench.hold(job)
    stack = bench.train(job, (0, 1), held.x, silent)
    trained, other = (bench.sae(job, stack, cell) for cell in (0, 1))
    made = {
        "trained": trained,
        "other": other,
        PERMUTED: permuted_sae(trained, 0),
        UNTRAINED: untrained_topk(0, trained.d_sae, int(trained.k or 0), held.x.mean(0)),
        "other start": untrained_topk(1, trained.d_sae, int(trained.k or 0), held.x.mean(0)),
    }
    oracle = {"truth": evaluate_oracle(held.truth, held.features)}
    return oracle | {name: evaluate(sae, held.truth, held.features) for name, sae in made.items()}


@pytest.mark.parametrize("headline", JUDGED, ids=lambda one: str(one.metric))
def test_every_headline_puts_the_truth_above_a_trained_sae_and_that_above_its_controls(
    ordered: dict[str, Evaluated], headline: Headline
) -> None:
    """A permuted decoder has the recovery of the trained one: that looks at the rows of latents that fire, in any order."""
    sign = 1 if HIGHER[headline.metric] else -1
    of = {name: sign * one.figures[headline.metric] for name, one in ordered.items()}
    assert of["truth"] > of["trained"] >= of[PERMUTED] and of["trained"] > of[UNTRAINED]
    assert headline.metric == "recovery" or of["trained"] > of[PERMUTED]


def test_absorption_ranks_a_permuted_decoder_above_the_trained_one_and_is_no_headline(
    ordered: dict[str, Evaluated],
) -> None:
    assert ordered["truth"].figures["absorption"] == 0
    assert ordered[PERMUTED].figures["absorption"] < ordered["trained"].figures["absorption"]
    assert "absorption" not in {one.metric for one in JUDGED}


def test_seeds_share_less_than_the_truth_does_with_itself_and_more_than_their_starts(
    ordered: dict[str, Evaluated],
) -> None:
    """What `shared_feature_ratio` of study seeds is where the truth is known; rows in another order share as much."""

    def shared(one: str, other: str) -> float:
        rows = (
            Rows(ordered[name].rows, *(torch.zeros(len(ordered[name].rows), dtype=torch.bool),) * 2)
            for name in (one, other)
        )
        return float(agreement(*rows)["overlap"])

    assert shared("truth", "truth") == 1 > shared("trained", "other") > shared(UNTRAINED, "other start")
