"""What replacing activations by reconstructions does: known answers, pooled sums, and what is kept."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch

from faithful.activations.quality import Quality
from faithful.formats.files import load_sae, save_sae
from faithful.sae.topk import TopKSAE
from studies.common.codes import code_text
from studies.common.config import StudyConfig
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.measure import PANEL, REBUILT, Bench, _pooled
from studies.reconstruction.study import study_reconstruction


def test_the_panel_pools_sums_not_means(studied: tuple[ReconstructionConfig, dict[str, Any]]) -> None:
    table = pl.read_parquet(studied[0].out / "results.parquet").filter(
        (pl.col("corpus") == "own") & (pl.col("seed") == 1) & (pl.col("parameter") == 4)
    )
    of = {(place, metric): value for place, metric, value in table.select("other", "metric", "value").rows()}
    for metric, weight in (("mse", "tokens"), ("ce_sae", "scored_tokens"), ("kl", "scored_tokens")):
        sums = sum(of[place, metric] * of[place, weight] for place in ("own", "cool"))
        assert of[PANEL, metric] == pytest.approx(sums / sum(of[place, weight] for place in ("own", "cool")))
    assert of[PANEL, "tokens"] == of["own", "tokens"] + of["cool", "tokens"]


def assert_same(one: Any, other: Any) -> None:
    """Whether two summaries are the same; numbers computed twice may differ in their last digits."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-6, abs=1e-9) if isinstance(other, float) else other)


def test_again_takes_what_is_measured(studied: tuple[ReconstructionConfig, dict[str, Any]], tmp_path: Path) -> None:
    alone = study_reconstruction(replace(studied[0], out=tmp_path, controls=0))
    assert_same(alone.summary, studied[1] | {"beside": []})  # controls change no figure of the others
    again = study_reconstruction(studied[0])
    assert again.reused == 6 + 12 and again.summary == studied[1], "SAEs, and two controls of each"


def test_identity_and_mean(run: Path, tmp_path: Path) -> None:
    """An SAE with a latent for each direction rebuilds everything; one without latents to speak of gives its bias."""
    recorded = load_sae(run / "saes" / "own" / "resid_pre.1-f96-k4" / "seed-0")
    d_in = recorded.d_in
    eye = torch.eye(d_in)
    both = TopKSAE(torch.cat([eye, -eye], 1), torch.zeros(2 * d_in), torch.cat([eye, -eye]), torch.zeros(d_in), d_in)
    metadata = {"model_name": "tiny-gpt2", "hook_name": "blocks.1.hook_resid_pre"}
    save_sae(tmp_path / "identity", both, metadata)
    corpora = (run / "corpora" / "own",)
    config = ReconstructionConfig(
        (tmp_path / "identity",), tmp_path / "out", corpora, tokens=500, device="cpu", ks=(1,)
    )
    figures = study_reconstruction(config).summary["corpora"]["identity"]
    assert figures["fvu"]["value"] == pytest.approx(0, abs=1e-9)
    assert figures["ce_recovered"]["value"] == pytest.approx(1, abs=1e-4)
    assert figures["kl"]["value"] == pytest.approx(0, abs=1e-5)
    found = resolve_input(StudyConfig(saes=(tmp_path / "identity",), out=tmp_path, corpora=corpora, device="cpu"))
    panel = load_panel(found, 500)
    h = torch.cat([found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.rows])
    silent = TopKSAE(torch.zeros(d_in, 8), torch.zeros(8), torch.eye(8, d_in), h.mean(0), 2)
    save_sae(tmp_path / "mean", silent, metadata)
    config = ReconstructionConfig((tmp_path / "mean",), tmp_path / "out2", corpora, tokens=500, device="cpu", ks=(1,))
    assert study_reconstruction(config).summary["corpora"]["mean"]["fvu"]["value"] == pytest.approx(1, abs=1e-5)
    assert not code_text(found.truncated, [silent], panel.rows, panel.ordinary).codes[0].values.any()


def test_every_k_is_measured_once_from_the_largest(run: Path, tmp_path: Path) -> None:
    """Divisors that leave the same k are one; an SAE that says no k has all its latents. No weights are read for it."""
    config = ReconstructionConfig((run / "saes",), tmp_path, ks=(8, 1, 3, 2))
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=tmp_path, device="cpu"))
    bench = Bench(config, found, load_panel(found, 500))
    (sae, *_) = found.saes
    assert bench._levels(sae) == [4, 2, 1]
    free: Any = SimpleNamespace(outline=SimpleNamespace(k=None))
    assert bench._levels(free) == [None]
    assert [one.result()["tokens"] for one in [*map(filled, bench._qualities(sae))]] == [2, 2, 2]
    assert "model" not in vars(found)


def test_text_without_a_token_to_score_has_no_losses() -> None:
    names = ("ce_clean", "ce_sae", "ce_zero", "ce_mean", "kl")
    nothing, some = (dict.fromkeys(names, value) | {"scored_tokens": tokens} for value, tokens in ((0.0, 0), (2.0, 7)))
    found = _pooled([nothing, nothing])
    assert found.pop("scored_tokens") == 0 and all(math.isnan(value) for value in found.values())
    assert _pooled([nothing, some])["ce_sae"] == 2.0


def test_a_corpus_may_be_called_as_a_pass_was(run: Path, tmp_path: Path) -> None:
    config = ReconstructionConfig((run / "saes",), tmp_path, controls=0)
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=tmp_path, device="cpu"))
    panel = load_panel(found, 500)
    bench = Bench(config, found, replace(panel, parts={"rebuilt": panel.parts["own"]}))
    (sae, *_) = found.saes
    bench._cells.keep(sae, "sums of rebuilt", {})
    assert bench._lacking([sae], "rebuilt") == (sae,) and bench._lacking([sae], REBUILT) == ()


def filled(quality: Quality) -> Quality:
    """With two tokens that are rebuilt exactly."""
    h = torch.ones(2, len(quality.mean))
    quality.update(h, h, torch.ones(2, 96))
    return quality
