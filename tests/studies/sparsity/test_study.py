"""The whole study on a grid with two k, and on SAEs that fire above thresholds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from faithful.formats.files import save_sae
from faithful.sae.threshold import ThresholdSAE
from faithful.store.saes import find_saes
from studies.common.codes import code_text
from studies.common.controls import PERMUTED, UNTRAINED
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel, noise_rows
from studies.sparsity.config import STUDY, SparsityConfig
from studies.sparsity.study import study_sparsity
from studies.statistics.sentences import AS_GOOD, standing
from tests.documented import names_of_study, undocumented
from tests.studies.random_saes import HOOK, random_sae, write_recorded


@pytest.fixture(scope="module")
def grid(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, three seeds, k of 4 and 8; the rows of `own` lean on one direction, more so at k 4."""
    saes = tmp_path_factory.mktemp("sparsity") / "runs" / "tried" / "saes"
    width = find_saes([run / "saes"])[0].d_in
    for corpus in ("own", "cool"):
        for seed in range(3):
            for k in (4, 8):
                folder = write_recorded(saes, corpus, seed, width, 96, k)
                if corpus == "own":
                    sae = random_sae(width, 96, k, seed)
                    sae.W_dec = torch.nn.functional.normalize(sae.W_dec + (0.2 if k == 4 else 0.1), dim=1)
                    record = find_saes([folder])[0].config["metadata"]
                    shutil.rmtree(folder)
                    save_sae(folder, sae, {**(record or {})})
    return saes


def config(saes: Path, run: Path, out: Path, **stated: Any) -> SparsityConfig:
    corpora = (run / "corpora" / "own", run / "corpora" / "cool")
    return SparsityConfig((saes,), out, corpora=corpora, tokens=400, device="cpu", **stated)


def test_a_grid_of_several_k(grid: Path, run: Path, tmp_path: Path) -> None:
    told = config(grid, run, tmp_path)
    summary: Any = STUDY.run(told, silent).summary
    (axis,) = summary["axes"]
    assert axis["ks"] == [4, 8] and axis["best"]["own"]["k"] == 8 and axis["best"]["own"]["at_edge"]
    at_k = {k: {one["metric"]: one["difference"] for one in entries} for k, entries in axis["at_k"].items()}
    assert at_k["4"]["c_dec"] > at_k["8"]["c_dec"] > 0, "the contrast depends on k"
    best = {name: axis["figures"]["c_dec"][str(one["k"])][name]["value"] for name, one in axis["best"].items()}
    (of_best,) = [one for one in axis["at_best"] if one["metric"] == "c_dec"]
    assert of_best["difference"] == pytest.approx(best["own"] - best["cool"]) and not of_best["headline"]
    assert summary["corpora"]["own"]["l0"]["value"] <= 8 and "l0_noise_ratio" not in summary["corpora"]["own"]
    assert {one["control"] for one in summary["beside"]} == {PERMUTED, UNTRAINED}
    assert summary["contrasts"] and not any(one["headline"] for one in summary["contrasts"])
    assert any(standing(one) == AS_GOOD for one in summary["beside"] if one["control"] == PERMUTED)
    (note,) = STUDY.notes(summary)
    assert "smallest c_dec" in note and "own 8" in note and "At the grid's edge" in note
    titles = [table.title for table in STUDY.tables(summary)]
    assert "Each corpus at its own best k (exploratory)" in titles
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"densities.svg", "k.svg"}
    assert undocumented("Study sparsity", names_of_study(tmp_path)) == []
    again = study_sparsity(told)
    assert again.reused == 12 and again.summary == summary


def test_saes_above_thresholds_have_the_k_they_were_trained_for_and_no_own_corpus_is_every_two(
    run: Path, tmp_path: Path
) -> None:
    width = find_saes([run / "saes"])[0].d_in
    for corpus in ("cool", "hot", "web"):
        for k in (4, 8):
            folder = write_recorded(tmp_path / "saes", corpus, 0, width, 48, k)
            record: Any = find_saes([folder])[0].config["metadata"]
            record["faithful"]["identity"] |= {"variant": "batchtopk", "parameters": {}}
            sae = random_sae(width, 48, k, seed=k)
            shutil.rmtree(folder)
            free = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full((48,), 0.05))
            save_sae(folder.parent.with_name(f"{folder.parent.name}-batchtopk") / folder.name, free, record)
    told = SparsityConfig(
        (tmp_path / "saes",),
        tmp_path / "out",
        corpora=(run / "corpora" / "cool",),
        tokens=400,
        noise_tokens=310,
        device="cpu",
    )
    summary: Any = study_sparsity(told).summary
    (axis,) = summary["axes"]
    assert summary["own"] is None and axis["ks"] == [4, 8] and axis["shape"].endswith("f48-batchtopk")
    pairs = {(one["a"], one["b"]) for one in axis["at_k"]["4"]}
    assert (
        pairs == {("cool", "hot"), ("cool", "web"), ("hot", "web")} == {(one["a"], one["b"]) for one in axis["at_best"]}
    )
    assert STUDY.tables(summary) and STUDY.notes(summary)


def test_saes_above_thresholds_are_read_on_noise(run: Path, tmp_path: Path) -> None:
    sae = random_sae(find_saes([run / "saes"])[0].d_in, 48, 4, seed=0)
    free = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full((48,), 0.05))
    save_sae(tmp_path / "saes" / "one", free, {"model_name": "tiny-gpt2", "hook_name": HOOK})
    told = config(tmp_path / "saes", run, tmp_path / "out", noise_tokens=310)
    summary: Any = study_sparsity(told).summary
    (figures,) = summary["corpora"].values()
    found = resolve_input(told)
    panel = load_panel(found, 400)
    rows = panel.rows, noise_rows(found.spec, 310 // (found.context - 1), found.context, 0)
    text, noise = (
        float(code_text(found.truncated, [free], one, panel.ordinary).codes[0].density.sum()) for one in rows
    )
    assert figures["l0"]["value"] == pytest.approx(text) and figures["l0_noise_ratio"]["value"] == pytest.approx(
        noise / text
    )
    assert [one["control"] for one in summary["beside"]] == [PERMUTED] and summary["axes"] == []
    assert any("l0_noise_ratio" in table.header for table in STUDY.tables(summary))


def test_too_little_noise_is_refused(grid: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="do not fill a context"):
        study_sparsity(config(grid, run, tmp_path, noise_tokens=5))
