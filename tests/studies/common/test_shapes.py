"""SAEs of several shapes, without seeds, from elsewhere: the same rules in every study."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.formats.exports import export_sparsify
from faithful.models.spec import ModelSpec
from faithful.store.corpora_of_saes import remember_corpora
from generation.sampling.distribution import Sampling
from studies.fakes import figures as fakes_figures
from studies.fakes.config import FakesConfig
from studies.fakes.study import study_fakes
from studies.probes import figures as probe_figures
from studies.probes.config import ProbesConfig
from studies.probes.study import study_probes
from studies.reconstruction import figures as reconstruction_figures
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from tests.own import write_own
from tests.studies.random_saes import random_sae, write_plain, write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]
WIDE, NARROW = "resid_pre.1-f40-k4", "resid_pre.1-f24-k4"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora with two seeds of two shapes each, SAEs without a seed, a task; never change it."""
    spec, model = family_model("gpt2")
    d_in, sizes = model.config.hidden_size, {"train": 400, "test": 900}
    folder = tmp_path_factory.mktemp("shapes") / "runs" / "tried"
    sampling = Sampling(max_tokens=31)
    corpora = [
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    ]
    for corpus in corpora:
        for seed in (0, 1):
            for width in (24, 40):
                write_recorded(folder / "saes", corpus.name, seed, d_in, width)
    remember_corpora(folder / "saes", corpora)
    for number in range(3):
        export_sparsify(random_sae(d_in, 40, 4, number), folder / f"run{number}" / "h.0")
    write_plain(folder / "aa", d_in, 8, 2)
    rng = np.random.default_rng(0)
    with (folder / "sides.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(160):
            side = number % 2
            words = rng.choice(("aa", "bb") if side else ("xx", "yy"), 5)
            writer.writerow([" ".join(words) + f" {number}", str((side + (rng.random() < 0.25)) % 2)])
    return folder


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests draw; here a study's figures would cost more than the study."""
    for module in (fakes_figures, reconstruction_figures, probe_figures):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def studied(name: str, run: Path, out: Path, *saes: Path, **values: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"saes": saes or (run / "saes",), "out": out, "tokens": 400, "device": "cpu"}
    if name == "fakes":
        return study_fakes(FakesConfig(**given, noise_tokens=400, **values)).summary
    if name == "reconstruction":
        return study_reconstruction(ReconstructionConfig(**given, ks=(1,), **values)).summary
    task = f"{run / 'sides.csv'}:text:label"
    stated: dict[str, Any] = {"tasks": (task,), "train_size": 48, "test_size": 32, "curve_points": 1, "ks": (1,)}
    return study_probes(ProbesConfig(**given, **stated, **values)).summary


@pytest.mark.parametrize("name", ["fakes", "reconstruction", "probes"])
def test_the_widest_shape_is_the_headline_and_the_others_are_exploratory(name: str, run: Path, tmp_path: Path) -> None:
    summary = studied(name, run, tmp_path)
    assert (summary["shape"], list(summary["shapes"])) == (WIDE, [WIDE, NARROW])
    assert [one["headline"] for one in summary["contrasts"]].count(True) == (1 if name == "probes" else 2)
    further = summary["shapes"][NARROW]["contrasts"]
    assert len(further) == len(summary["contrasts"])
    for one in further:
        assert (one["headline"], one["margin"], one["p_holm"]) == (False, None, None) and "parts" not in one
        assert one["sentence"].endswith("exploratory)")
    assert {"study", "controls", "missing_corpora", "seed", "own"} <= set(summary) and summary["study"] == name


@pytest.mark.parametrize("name", ["fakes", "reconstruction", "probes"])
def test_saes_without_a_seed_all_count(name: str, run: Path, tmp_path: Path) -> None:
    places = [run / f"run{number}" for number in range(3)]
    summary = studied(name, run, tmp_path, *places, corpora=(run / "corpora" / "own",), model=_model(run))
    metric = {"fakes": "fake_density_1", "reconstruction": "fvu", "probes": "accuracy:sides"}[name]
    found = summary["corpora"]["h.0"][metric]
    assert found["seeds"] == 3 and found["ci95"] is not None
    assert summary["hook"] == "resid_post.0"


def _model(run: Path) -> str:
    from faithful.store.corpus import Corpus

    return str(Corpus(run / "corpora" / "own").manifest.provenance["model"]["source"])


def test_fakes_of_an_sae_from_elsewhere_beside_ours(run: Path, tmp_path: Path) -> None:
    """The narrow one, which comes first, has no untrained twin; the other's twin is counted with its own thresholds."""
    sae, corpora = run / "saes" / "own" / WIDE / "seed-0", (run / "corpora" / "own",)
    together = studied("fakes", run, tmp_path / "both", run / "aa", sae, corpora=corpora)
    alone = studied("fakes", run, tmp_path / "alone", sae, corpora=corpora)
    assert together["shapes"]["resid_pre.1-f8-k2"]["corpora"]["aa"]["fake_contrast_untrained"]["value"] is None
    assert alone["corpora"]["own"]["fake_contrast_untrained"]["value"] is not None
    assert together["shapes"][WIDE]["corpora"] == alone["corpora"]


def test_an_export_is_studied_beside_the_sae_it_was_made_of(run: Path, tmp_path: Path) -> None:
    summary = studied("reconstruction", run, tmp_path, run / "saes", run / "run0")
    assert summary["hook"] == "resid_pre.1" and list(summary["corpora"]) == ["own", "cool", "h.0"]
    assert summary["matrices"]["fvu"]["h.0"]["panel"]["value"] > 0


@pytest.mark.parametrize("name", ["fakes", "reconstruction"])
def test_a_corpus_under_another_name_is_measured_anew(name: str, run: Path, tmp_path: Path) -> None:
    sae = run / "saes" / "own" / WIDE / "seed-0"
    studied(name, run, tmp_path / "out", sae, corpora=(run / "corpora" / "own",))
    shutil.copytree(run / "corpora" / "own", tmp_path / "renamed")
    again = studied(name, run, tmp_path / "out", sae, corpora=(tmp_path / "renamed",))
    assert list(again["sizes"]["panel_tokens"]) == ["renamed"]
