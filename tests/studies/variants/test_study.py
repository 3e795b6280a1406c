"""Variants against TopK, from tables written by hand: what is contrasted, what is a family, what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.store.saes import find_saes
from generation.sampling.distribution import Sampling
from studies.common.results import Row
from studies.variants import study
from studies.variants.config import STUDY, VariantsConfig
from studies.variants.study import SHUT, study_variants
from tests.studies.variants.known import SEEDS, SETTINGS, studied, table, written


def test_every_figure_is_contrasted_at_equal_seeds(by_hand: Path) -> None:
    done = studied(by_hand)
    summary = done.summary
    assert summary["own"] == "own" and summary["left_out"] == {"fakes": "missing"}
    assert STUDY.warnings(summary) == [
        "Not compared, since the run has not measured it: fake_contrast (faithful study fakes)."
    ]
    headlines = [one for one in summary["contrasts"] if one["headline"]]
    found = {one["metric"]: one for one in headlines}
    assert list(found) == ["fvu", "alive_share", "shared_feature_ratio"] and len(headlines) == 3
    assert all((one["a"], one["b"], one["seeds"]) == ("anneal-s2", "topk", 6) for one in headlines)
    assert found["fvu"]["difference"] == pytest.approx(-0.03)
    found |= {one["metric"]: one for one in summary["contrasts"] if one["a"] == "anneal-s2"}
    assert found["ce_recovered"]["difference"] == pytest.approx(0.02), "with all latents, on the panel"
    assert found["accuracy"]["difference"] == pytest.approx(0.0, abs=1e-4)
    assert (found["accuracy"]["verdict"], found["alive_share"]["difference"]) == ("exploratory", 0.0)
    assert found["shared_feature_ratio"]["verdict"] == "no relevant difference"
    assert "anneal-s2 leaves 0.030 less of the variance unexplained than topk" in found["fvu"]["sentence"]
    assert summary["frozen"] == ["frozen-decoder"]
    values = summary["corpora"]
    assert list(values) == ["topk", "anneal-s2", "frozen-decoder"]
    assert values["topk"]["accuracy"]["value"] == pytest.approx(0.7, abs=1e-3), "of all training examples, over tasks"
    others = {one["a"] for one in summary["contrasts"] if not one["headline"]}
    assert others == {
        "anneal-s2",
        "frozen-decoder",
        "anneal-s2 on web, resid_pre.1-f16-k4",
        "frozen-decoder on web, resid_pre.1-f16-k4",
    }
    json.dumps(summary, allow_nan=False)


def test_the_corrected_family_is_all_figures_of_the_own_corpus(by_hand: Path) -> None:
    done = studied(by_hand, own="web")
    varied = [one for one in done.summary["contrasts"] if one["headline"] and one["p"] is not None]
    assert varied and all(one["a"] == "anneal-s2" for one in varied) and done.summary["own"] == "web"
    least = min(varied, key=lambda one: one["p"])
    assert least["p_holm"] == pytest.approx(min(1.0, 3 * least["p"]))


def test_what_cannot_be_compared_is_one_sentence(by_hand: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="No variants were trained on 'other'; choose own or web"):
        studied(by_hand, own="other")
    with pytest.raises(FaithfulError, match=r"no variant beside TopK .* --variant topk,NAME"):
        study_variants(VariantsConfig((by_hand / "saes" / "own" / "anneal",), by_hand / "studies" / "variants"), print)


def test_text_of_the_model_quantised_otherwise_is_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(load: str | None) -> SimpleNamespace:
        model = {"load": load} if load else {}
        return SimpleNamespace(kind="own", identity={"model": model, "sampling": Sampling(max_tokens=9).to_dict()})

    monkeypatch.setattr(study, "corpora_beside", lambda _: {"own-4bit": own("4bit"), "own": own(None)})
    config, names = VariantsConfig((tmp_path,), tmp_path / "out"), ["cool", "own", "own-4bit"]
    assert study._own(config, names, {None}) == "own" and study._own(config, names, {"4bit"}) == "own-4bit"


def test_tables_of_the_run_are_read_wherever_the_study_goes(by_hand: Path, tmp_path: Path) -> None:
    for saes in (by_hand / "saes", by_hand / "saes" / "own"):
        done = study_variants(VariantsConfig((saes,), tmp_path / "elsewhere" / "out"), print)
        assert done.summary["left_out"] == {"fakes": "missing"}


def test_a_variant_that_came_out_as_topk_did_is_named(by_hand: Path) -> None:
    for sae in find_saes([by_hand / "saes"]):
        record = json.loads((sae.folder / "cfg.json").read_text())
        weights = digest([sae.seed, None if sae.corpus == "web" else sae.shape])
        record["metadata"]["faithful"]["weights_sha256"] = weights
        (sae.folder / "cfg.json").write_text(json.dumps(record))
    summary = studied(by_hand, own="web").summary
    said = [one.split(":")[0] for one in STUDY.warnings(summary) if "bit for bit" in one]
    undecided = {one["verdict"] for one in summary["contrasts"] if one["headline"]}
    assert undecided == {"cannot be decided: its SAEs are TopK's, bit for bit"}
    assert said == [f"On web the SAEs of {name} are TopK's, bit for bit" for name in ("anneal-s2", "frozen-decoder")]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("tokens", 100, 200), ("lr", 0.01, 0.02), ("model", "tiny-gpt2", "other"), ("dead_tokens", None, 7)],
)
def test_a_setting_that_differs_beside_the_variant_is_named(
    by_hand: Path, name: str, before: object, after: object
) -> None:
    written(by_hand, "own", "anneal", 0, 0.1, **{name: after})
    words = name.replace("_", " ")
    with pytest.raises(FaithfulError, match=rf"differ in {words} too \(({before} and {after}|{after} and {before})\)"):
        studied(by_hand)


def test_that_shut_latents_are_not_shared_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the latents are shut: the ratio falls by half by construction."""
    monkeypatch.setitem(SETTINGS, "compression", {"keep": 0.5})
    for seed in SEEDS:
        for name in ("topk", "anneal", "compression"):
            written(tmp_path, "own", name, seed, 0.2)
    shapes = {sae.shape: 0.3 if sae.shape.endswith("k4") else 0.1 for sae in find_saes([tmp_path / "saes"])}
    rows = [
        Row("seeds", "own", "shared_feature_ratio", ratio * (1 + one * other / 99), seed=other, other_seed=one, shape=shape)
        for shape, ratio in shapes.items() for one in SEEDS for other in range(one)
    ]  # fmt: skip
    table(tmp_path, "seeds", rows)
    of = [one for one in studied(tmp_path).summary["contrasts"] if one["metric"] == "shared_feature_ratio"]
    found = {one["a"].partition("-")[0]: one["verdict"] for one in of if one["headline"]}
    assert found["compression"] == f"cannot be decided: {SHUT}" and "decided" not in found["anneal"]
