"""What fires strongly on one text and hardly on another: an SAE's figures by hand, and over seeds with verdicts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.common.foreign import RULE
from studies.fakes.config import FOREIGN, STUDY, FakesConfig
from studies.fakes.foreign import NOISE, ForeignFigures, foreign_cell
from studies.fakes.rules import Firing, resampled_foreign
from studies.fakes.study import study_fakes
from tests.studies.fakes.counted import count, draw

TEXTS = {"own": [0.0, 0.2, 0.2, 0.0], "web": [0.2, 0.2, 0.0, 0.0], NOISE: [0.0, 0.2, 0.0, 0.2]}
"""0: of web text; 1: of both; 2: of own text; 3: of noise."""


def firings(weak: float = 0.0) -> dict[str, Firing]:
    """Strengths of 1 as often as `TEXTS` says, weak ones on half of the tokens everywhere."""
    found = {}
    for seed, (name, densities) in enumerate(TEXTS.items()):
        dense = np.maximum(draw(densities, 1.0, seed), draw([0.5] * 4, weak, 9 + seed))
        found[name] = count(dense, np.array([[1.0] * 4, [0.4] * 4]), text=name)
    return found


@pytest.mark.parametrize("weak", [0.0, 0.2])
def test_a_latent_is_foreign_to_the_text_that_lacks_it_however_weakly_it_fires_there(weak: float) -> None:
    parts = firings(weak)
    noise = parts.pop(NOISE)
    of_web, of_own = (foreign_cell(noise, parts, corpus, is_free=False) for corpus in ("web", "own"))
    assert of_web is not None and of_own is not None
    assert of_web["foreign"] == {"own": 0.25} and of_own["foreign"] == {"web": 0.25}
    assert of_web["woken"] == {NOISE: 0.25, "own": 0.25} and of_own["woken"] == {NOISE: 0.25, "web": 0.25}
    assert of_web["strong_own"] == 0.5 and of_web["l0_ratio"] == {}
    assert of_web["sweep_foreign"]["own"]["0.01"] == 0.25
    assert (np.array(of_web["foreign_resampled"]["own"]) == 0.25).all()
    assert foreign_cell(noise, parts, "elsewhere", is_free=False) is None


def test_a_draw_is_the_rule_on_contexts_drawn() -> None:
    """A latent that is strong in one context alone is foreign in the draws that hold it and in no other."""
    dense = np.zeros((40, 30, 2))
    dense[0, :13, 0] = 1.0
    own, other = (count(one, np.full((2, 2), 0.5), text=name) for one, name in ((dense, "own"), (dense * 0, "other")))
    drawn = resampled_foreign(own, other)
    assert RULE.foreign(own.strong, other.strong).tolist() == [True, False]
    assert set(drawn) == {0.0, 0.5} and 0.2 < (drawn == 0).mean() < 0.5


def test_l0_says_what_topk_hides() -> None:
    parts = firings()
    noise = parts.pop(NOISE)
    cell = foreign_cell(noise, parts, "own", is_free=True)
    assert cell is not None
    assert cell["l0_ratio"] == {NOISE: noise.l0 / parts["own"].l0, "web": parts["web"].l0 / parts["own"].l0}


class Found:
    """Which text is whose."""

    def __init__(self, own: str | None, *foreign: str) -> None:
        self.own, self.foreign = own, foreign


def cell(corpus: str, shares: dict[str, float]) -> dict[str, Any]:
    """A cell with nothing left to chance but the seeds."""
    stimuli = {NOISE: 0.0} | dict.fromkeys(shares, 0.0)
    drawn = {"foreign_resampled": {text: [value] * 3 for text, value in shares.items()}}
    drawn |= {"woken_resampled": {text: [value] * 3 for text, value in stimuli.items()}}
    swept = {text: {f"{p:g}": value for p in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)} for text, value in shares.items()}
    return {"strong_own": 0.5, "foreign": shares, "woken": stimuli, "sweep_foreign": swept, "l0_ratio": {}} | drawn


def figures(own: str | None = "own", seeds: int = 6) -> ForeignFigures:
    """Of web SAEs 10 % are foreign to own text, of own SAEs 2 % to web and 4 % to prose text."""
    cells: Any = {
        "own": {s: cell("own", {"web": 0.02 + s / 1000, "prose": 0.04}) for s in range(seeds)},
        "web": {s: cell("web", {"own": 0.1, "prose": 0.3}) for s in range(seeds)},
        "elsewhere": dict.fromkeys(range(seeds)),
    }
    found: Any = Found(own, *(("web", "prose") if own else ()))
    return ForeignFigures(found, cells, {NOISE: 50, "own": 40, "web": 40, "prose": 40})


def test_own_saes_on_web_text_stand_beside_web_saes_on_own_text() -> None:
    means = {name: figures().mean("foreign", name) for name in ("own", "web", "elsewhere")}
    assert means["own"] is not None and means["own"][0] == pytest.approx(0.03), "the mean over web and prose text"
    assert means["web"] is not None and means["web"][0] == 0.1 and means["elsewhere"] is None
    assert set(figures().by_metric()) == {"strong_own", "woken_noise", "woken_text"}, "no SAE's k is free"
    found = figures().statistics(is_headline=True)
    (one,) = found["contrasts"]
    assert (one["a"], one["b"], one["verdict"]) == ("own", "web", "differs")
    assert one["difference"] == pytest.approx(0.0225 - 0.1)
    assert one["sentence"].startswith(
        "own-corpus SAEs have fewer features that web text lacks than web-corpus SAEs have features that own text lacks,"
        " by 7.75"
    )
    assert STUDY.verdicts({"foreign": found}) == [("differs", one["sentence"])]
    assert STUDY.verdicts({}) == [], "a study of before"
    assert set(found["foreign"]["own"]) == {"web", "prose"} and "elsewhere" not in found["foreign"]
    assert found["sweep_foreign"]["own"]["0.01"]["value"] == pytest.approx(0.03125)


def test_further_shapes_and_corpora_without_an_own_one_have_no_verdict() -> None:
    (further,) = figures().statistics(is_headline=False)["contrasts"]
    (pair,) = figures(own=None).statistics(is_headline=True)["contrasts"]
    assert further["verdict"] == pair["verdict"] == "exploratory" and (pair["a"], pair["b"]) == ("own", "web")
    assert FOREIGN.metric == pair["metric"]


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("name", ["foreign_share", "foreign_quantile"])
def test_what_is_no_share_is_refused_before_work(name: str, value: float, tmp_path: Path) -> None:
    config = replace(FakesConfig(saes=(tmp_path / "nowhere",), out=tmp_path), **{name: value})
    with pytest.raises(
        FaithfulError, match=f"{name.removeprefix('foreign_')} of the rule for foreign latents .*between 0 and 1"
    ):
        study_fakes(config)
