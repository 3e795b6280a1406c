"""Floors of the seed study, each against what it is made of."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.progress import silent
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from studies.common.codes import code_text, moments_of
from studies.common.config import StudyConfig
from studies.common.controls import untrained_sae
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.seeds import floors as seeds_floors
from studies.seeds.config import SeedsConfig
from studies.seeds.floors import FloorMaker
from studies.seeds.gaussian import gaussian_saes, recorded_config
from studies.seeds.matching import CURVE, OnPanel, assign_alive, match, panel_figures
from studies.seeds.study import study_seeds
from studies.seeds.tables import seeds_tables
from tests.studies.seeds.made import directions


def test_floors_are_what_they_say(studied: tuple[Path, dict[str, Any]], run: Path) -> None:
    """`floor_init` of the seeds that were trained, `floor_gaussian` of each corpus' own activations."""
    summary = studied[1]
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1500)
    moments = {name: moments_of(found.truncated, rows, panel.ordinary) for name, rows in panel.parts.items()}
    mean = sum(one.mean * one.tokens for one in moments.values()) / sum(one.tokens for one in moments.values())
    expected = figures_of([untrained_sae(sae, mean) for sae in found.saes if sae.corpus == "own"], found, panel)
    assert expected["pw_mcc"] > 0
    for name in ("own", "cool"):
        close(summary["floors"][name]["floor_init"], expected | {"pairs": 3, "assignment_gap": 0})
        saes = [sae for sae in found.saes if sae.corpus == name]
        config = recorded_config(saes[0].record, saes[0].d_in, saes[0].record["training"]["step"], (0, 1))
        assert config is not None
        trained = gaussian_saes(moments[name], config, 256, seed=0)
        gaussian = figures_of(trained, found, panel)
        close(summary["floors"][name]["floor_gaussian"], gaussian | {"pairs": 1, "assignment_gap": 0})
        for floor in ("floor_random", "floor_covariance"):
            assert {"top1_ratio", "pw_mcc"} <= summary["floors"][name][floor].keys()
            assert "sfr_encoder" not in summary["floors"][name][floor]
        for floor, figures in summary["floors"][name].items():
            assert summary["corpora"][name][floor] == figures["shared_feature_ratio"]
            assert summary["corpora"][name][f"{floor}_top1_ratio"] == figures["top1_ratio"]
    own, cool = (summary["floors"][name]["floor_gaussian"]["pw_mcc"] for name in ("own", "cool"))
    assert own != cool
    (rows,) = [table.rows for table in seeds_tables(summary) if table.title.startswith("Floors")]
    assert {("floor_gaussian", "sfr_both"), ("floor_random", "top1_ratio")} <= {row[:2] for row in rows}


def figures_of(saes: Sequence[Autoencoder], found: StudyInput, panel: Panel) -> dict[str, Any]:
    """Means over all pairs of SAEs, from what the rest of this file checks."""
    coded = code_text(found.truncated, saes, panel.rows, panel.ordinary).codes
    figures = []
    for i, j in combinations(range(len(saes)), 2):
        one = match(*(directions(saes[place].W_dec, saes[place].W_enc.T) for place in (i, j)))
        decoders = directions(saes[i].W_dec).decoder, directions(saes[j].W_dec).decoder
        alive = assign_alive(decoders, (coded[i].density, coded[j].density))
        figures.append(
            one.figures()
            | panel_figures(one.partners, alive, (OnPanel.of(coded[i]), OnPanel.of(coded[j])), decoders, seed=0)
        )
    return {metric: np.mean([one[metric] for one in figures], axis=0).tolist() for metric in figures[0]}


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["sfr_curve"] == pytest.approx(expected["sfr_curve"])
    assert found | {"sfr_curve": None} == pytest.approx(expected | {"sfr_curve": None})


def test_identical_decoders_share_everything_whatever_the_floor(run: Path, tmp_path: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    maker = FloorMaker(SeedsConfig((), tmp_path), found, load_panel(found, 500), silent)
    sae = found.saes[0].load()
    assert isinstance(sae, TopKSAE)
    of_rows, of_saes = maker._of_rows([lambda: sae.W_dec] * 3), maker._of_saes([lambda: sae] * 2)
    for metric in ("shared_feature_ratio", "top1_ratio"):
        assert of_rows[metric] == of_saes[metric] == 1
    for metric in ("pw_mcc", "sfr_encoder", "sfr_both", "sfr_alive", "sfr_weighted", "activation_correlation"):
        assert of_saes[metric] == pytest.approx(1)
    assert of_rows["sfr_curve"] == [1.0] * len(CURVE) and (of_rows["pairs"], of_saes["pairs"]) == (3, 1)


def test_gaussian_saes_of_a_corpus_are_kept_when_they_are_trained(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def counted(moments: Any, *rest: Any) -> Any:
        trained.append(moments)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return gaussian_saes(moments, *rest)

    monkeypatch.setattr(seeds_floors, "gaussian_saes", counted)
    config = SeedsConfig((run / "saes",), tmp_path, tokens=600, device="cpu", gaussian_steps=2, examples=0)
    with pytest.raises(KeyboardInterrupt):
        study_seeds(config)
    study_seeds(config)
    assert len(trained) == 3 and torch.equal(trained[1].mean, trained[2].mean)


def test_the_gaussian_floor_of_saes_above_thresholds_fires_above_them(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept and loaded as they were trained, with their thresholds."""

    def above(*asked: Any) -> list[ThresholdSAE]:
        trained = gaussian_saes(*asked)
        return [
            ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full_like(sae.b_enc, 0.1)) for sae in trained
        ]

    monkeypatch.setattr(seeds_floors, "gaussian_saes", above)
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 500)
    maker = FloorMaker(SeedsConfig((), tmp_path, gaussian_steps=2), found, panel, silent)
    saes = [sae for sae in found.saes if sae.corpus == found.saes[0].corpus]
    loads = maker._gaussian(saes, moments_of(found.truncated, panel.rows, panel.ordinary), silent)
    again = [loads[0]() for _ in range(2)]
    assert all(isinstance(sae, ThresholdSAE) and float(sae.threshold[0]) == pytest.approx(0.1) for sae in again)
    assert maker._of_saes(loads)["activation_correlation"] is not None
