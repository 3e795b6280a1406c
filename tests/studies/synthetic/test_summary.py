"""Means over truths, and contrasts paired by truth and init seed."""

from pathlib import Path

import pytest

from studies.synthetic.bench import Job
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.plan import arms_of
from studies.synthetic.summary import contrasts, estimates, rows_of_results

VARIANTS = ("topk", "l2", "anneal", "frozen-decoder", "frozen-encoder", "soft-frozen")
SETTINGS = ("topk.d_sae=512,40", "soft-frozen.cosine=0.5")
ARMS = arms_of(SyntheticConfig(Path("out"), variants=VARIANTS, settings=SETTINGS))
NAMES = [arm.label for arm in ARMS]
JOBS = [Job(truth, seed, arm) for truth in ("hier", "ind") for seed in range(3) for arm in ARMS]
BASE = {0: {0: 0.50, 1: 0.54}, 1: {0: 0.40, 1: 0.44}, 2: {0: 0.60, 1: 0.64}}


def test_truths_are_the_replicates() -> None:
    found = estimates({"recovery": BASE, "true_unshared": {0: {(0, 1): None}, 1: {(0, 1): 0.2}, 2: {(0, 1): 0.3}}})
    assert found["recovery"]["value"] == pytest.approx(0.52) and found["recovery"]["seeds"] == 3
    # t with 2 degrees of freedom over means .52, .42, .62
    assert found["recovery"]["ci95"] == pytest.approx(
        [0.52 - 4.3027 * 0.1 / 3**0.5, 0.52 + 4.3027 * 0.1 / 3**0.5], rel=1e-4
    )
    assert found["true_unshared"]["left_out"] == [0]


def test_contrasts_pair_truths_and_seeds_and_are_judged_from_three_truths_on() -> None:
    less = {truth: {seed: value - 0.1 - 0.001 * truth for seed, value in of.items()} for truth, of in BASE.items()}
    less[0][1] = None
    found = contrasts({"topk on hier": {"recovery": BASE}, "l2 on hier": {"recovery": less}}, JOBS)
    (entry,) = found
    assert (entry["a"], entry["b"], entry["metric"]) == ("l2 on hier", "topk on hier", "recovery")
    assert entry["difference"] == pytest.approx(-0.101) and entry["df"] == 2 and entry["seeds"] == 3
    assert entry["verdict"] == "differs" and "finds 10.1 points less of the true features" in entry["sentence"]
    assert "3 truths" in entry["sentence"] and "seed" not in entry["sentence"]
    two = {truth: of for truth, of in less.items() if truth < 2}
    (entry,) = contrasts({"topk on hier": {"recovery": BASE}, "l2 on hier": {"recovery": two}}, JOBS)
    assert entry["verdict"] == "cannot be decided: 2 truths"


def test_a_family_is_of_one_truth_and_one_figure_without_controls_and_other_sizes() -> None:
    """Both variants of a truth have p .04 to .05 before Holm; the contrasts on the other truth do not count."""
    less = {
        truth: {seed: value - 0.1 - 0.038 * (truth - 1) for seed, value in of.items()} for truth, of in BASE.items()
    }
    figures = {
        f"{arm} on {truth}": {"recovery": BASE if arm == "topk" else less} for truth in ("hier", "ind") for arm in NAMES
    }
    found = {entry["a"]: entry for entry in contrasts(figures, JOBS)}
    assert len(found) == 12
    for name, entry in found.items():
        assert entry["headline"] == name.startswith(("l2", "anneal")), name
        if entry["headline"]:
            assert 0.04 < entry["p"] < 0.05 and entry["p_holm"] == pytest.approx(2 * entry["p"])
        else:
            assert entry["verdict"] == "exploratory" and entry["p_holm"] is None


def test_a_row_for_every_sae_and_pair() -> None:
    rows = rows_of_results({"topk on hier": {"recovery": BASE, "overlap": {0: {(0, 1): 0.5}}}})
    assert len(rows) == 7
    assert (rows[-1].seed, rows[-1].other_seed, rows[-1].parameter, rows[-1].value) == (0, 1, 0, 0.5)
