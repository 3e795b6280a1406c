"""`faithful study corpora` on corpora of a tiny model: what theory says, files, reuse, refusals."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from faithful.cli import app
from faithful.models import spec as spec_module
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from generation.configs.generate import GenerateConfig
from generation.own.prepare import prepare
from generation.sampling.distribution import Sampling
from generation.writing.identity import sampling_of
from generation.writing.job import CorpusResult
from generation.writing.statistics import corpus_statistics
from studies.common.results import Done, read_summary
from studies.corpora import study
from studies.corpora.study import study_corpora
from studies.corpora.tables import corpora_tables
from studies.report.found import RunFound, StudyFound
from studies.report.parts import study_parts
from tests.documented import names_of_study, undocumented
from tests.own import write_external, write_own
from tests.studies.corpora.made import NAMES, cells, configured

Model = Callable[[str], tuple[ModelSpec, Any]]
LONGEST = 31


def test_own_text_is_the_models_and_cooler_text_is_so_as_declared(done: Done) -> None:
    found = cells(done)
    assert found["own"]["as_model"]["p_holm"] > 0.001
    assert found["own"]["as_declared"] is None
    assert found["own-t0.7"]["as_model"]["verdict"] == "not from this distribution"
    assert found["own-t0.7"]["as_model"]["ci95"][1] < -0.05
    assert found["own-t0.7"]["as_declared"]["p_holm"] > 0.001
    low, high = found["own"]["figures"]["excess_ce_ci95"]
    assert low < 0 < high


def test_both_axes_order_the_corpora_as_theory_says(done: Done) -> None:
    found = cells(done)
    for part, axis in (("as_model", "surprise_gap"), ("figures", "excess_ce")):
        values = {name: cell[part][axis] for name, cell in found.items()}
        assert sorted(values, key=values.__getitem__) == ["own-t0.7", "own", "shuffled", "noise"]
    assert found["shuffled"]["figures"]["excess_ce_ci95"][0] > 0
    assert found["noise"]["figures"]["excess_ce_ci95"][0] > found["shuffled"]["figures"]["excess_ce_ci95"][1]


def test_shuffling_keeps_the_unigrams_and_noise_does_not(done: Done) -> None:
    found = {name: cell["figures"] for name, cell in cells(done).items()}
    assert found["own"]["unigram_js"] < 2 * found["own"]["unigram_js_floor_max"]
    assert found["shuffled"]["unigram_js"] < 2 * found["own"]["unigram_js_floor_max"]
    assert found["noise"]["unigram_js"] > 5 * found["own"]["unigram_js_floor_max"]
    assert found["noise"]["first_token_js"] > found["own"]["first_token_js"]


def test_diversity_is_on_equal_terms(done: Done, run: Path) -> None:
    found = cells(done)
    budget = done.summary["diversity_tokens"]
    assert budget == min(Corpus(run / "corpora" / name).tokens() for name in NAMES)
    assert {cell["text"]["curves"]["budgets"][-1] for cell in found.values()} == {budget}
    for name in NAMES:
        tokens = np.concatenate(list(Corpus(run / "corpora" / name).documents()))[:budget]
        assert found[name]["text"]["curves"]["type_token"][-1] == pytest.approx(len(set(tokens.tolist())) / budget)
    assert found["own-t0.7"]["text"]["curves"]["distinct_2"][-1] < found["own"]["text"]["curves"]["distinct_2"][-1]


def test_without_a_budget_diversity_is_that_of_the_whole_smallest_corpus(
    done: Done, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """… in the very figures of `corpus stats`; only a sweep, whose corpora have to be sampled first, has a limit."""
    smallest = min(NAMES, key=lambda name: Corpus(run / "corpora" / name).tokens())
    vocab = Corpus(run / "corpora" / smallest).manifest.identity["model"]["vocab_size"]
    whole, text = corpus_statistics(Corpus(run / "corpora" / smallest), vocab_size=vocab), cells(done)[smallest]["text"]
    names = ("compression_ratio", "duplicate_rate", "near_duplicate_rate", "round_trip_rate", "eos_rate", "length_p95")
    assert {name: text[name] for name in names} == {name: whole[name] for name in names}
    monkeypatch.setattr(study, "SWEEP_LIMIT", 400)
    one = (run / "corpora" / smallest,)
    free = study_corpora(configured(run, folders=one, out=tmp_path / "free", tokens=500))
    assert free.summary["diversity_tokens"] == Corpus(one[0]).tokens()
    swept = study_corpora(configured(run, folders=one, out=tmp_path / "swept", tokens=500, temperatures=(1,)))
    assert swept.summary["diversity_tokens"] == 400


def test_every_figure_has_its_line_in_the_documentation(done: Done) -> None:
    assert undocumented("Corpus", names_of_study(done.folder)) == []


def test_results_hold_every_figure_of_the_summary(done: Done) -> None:
    table = pl.read_parquet(done.folder / "results.parquet")
    assert table.columns == [
        "study", "corpus", "other", "seed", "other_seed", "metric", "parameter", "value", "low", "high",
        "shape",
    ]  # fmt: skip
    assert set(table["corpus"]) == set(NAMES)
    for name, cell in cells(done).items():
        rows = {row["metric"]: row for row in table.filter(corpus=name).unique("metric", keep="first").to_dicts()}
        assert rows["excess_ce"]["value"] == cell["figures"]["excess_ce"]
        assert [rows["excess_ce"]["low"], rows["excess_ce"]["high"]] == cell["figures"]["excess_ce_ci95"]
        assert rows["surprise_gap"]["value"] == cell["as_model"]["surprise_gap"]
        assert rows["p_pit"]["value"] == cell["as_model"]["tests"]["pit"]["p"]
        assert rows["eos_rate"]["value"] == cell["text"]["eos_rate"]
        assert rows["ce"]["parameter"] == cell["as_model"]["tokens_scored"]
        curve = table.filter(corpus=name, metric="distinct_3").sort("parameter")
        assert curve["value"].to_list() == cell["text"]["curves"]["distinct_3"]
    assert read_summary(done.folder / "summary.json") == json.loads(json.dumps(done.summary))


def test_every_figure_is_a_picture_that_names_the_corpora(done: Done) -> None:
    for name in ("faithfulness", "diversity", "lengths"):
        text = (done.folder / "figures" / f"{name}.svg").read_text()
        ET.fromstring(text)
        assert all(corpus in text for corpus in NAMES)
    assert "own-t0.7" not in (sweep := (done.folder / "figures" / "sweep.svg").read_text()) and "T 0.7" in sweep


def test_the_report_shows_the_picture_of_both_axes_before_the_tables(done: Done, run: Path) -> None:
    found = RunFound(run, [], [], {"corpora": StudyFound("corpora", done.folder, done.summary)})
    part = next(one for one in study_parts(found) if one.name == "corpora")
    assert [picture.path.stem for picture in part.lead] == ["faithfulness"]
    assert part.lead[0].title.startswith("Each corpus by surprise gap and excess cross-entropy")
    assert [picture.path.stem for picture in part.pictures] == ["diversity", "lengths", "sweep"]
    assert part.tables[0].header[:3] == ("corpus", "surprise gap", "excess ce")


def test_a_corpus_of_one_document_has_an_excess_without_an_interval(
    run: Path, tmp_path: Path, family_model: Model
) -> None:
    one = write_external(tmp_path / "one", family_model("gpt2")[0], {"train": [np.arange(5, 5 + LONGEST)]})
    done = study_corpora(configured(run, folders=(one,), own=run / "corpora" / "own", out=tmp_path / "study"))
    excess = done.summary["corpora"]["one"]["excess_ce"]
    assert np.isfinite(excess["value"]) and excess["ci95"] is None
    table = pl.read_parquet(tmp_path / "study" / "results.parquet")
    row = table.filter((pl.col("corpus") == "one") & (pl.col("metric") == "excess_ce")).row(0, named=True)
    assert row["value"] == excess["value"] and row["low"] is row["high"] is None
    assert corpora_tables(done.summary) and "one" in (tmp_path / "study" / "figures" / "faithfulness.svg").read_text()


def test_a_sweep_from_another_bos_samples_what_is_not_there(
    tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for is settled as `generate` does, then drawn in this process; both sweeps share the neutral value."""
    spec, model = family_model("gpt2")
    started = replace(spec, bos_id=5, bos_from="--bos")
    own = write_own(tmp_path / "own", started, model, Sampling(max_tokens=LONGEST), {"train": 900, "test": 400})
    wishes = []

    def draw(wish: GenerateConfig, _: Any) -> CorpusResult:
        folder, manifest, made_for = prepare(wish)
        wishes.append((wish.out, wish.tokens, made_for.bos_id))
        write_own(folder, made_for, model, sampling_of(manifest), {"train": 300, "test": 50})
        return CorpusResult(folder, read_manifest(folder), True, "")

    monkeypatch.setattr(study, "generate", draw)
    asked: dict[str, Any] = {"folders": (own,), "out": tmp_path / "study", "tokens": 800, "budget": 300}
    swept = study_corpora(configured(tmp_path, **asked, model=spec.source, temperatures=(0.5, 1), top_ps=(1,)))
    assert wishes == [(tmp_path / "own-t0.5", 300, 5)]
    found = cells(swept)
    assert [(name, cell["sampling"]["temperature"]) for name, cell in found.items()] == [("own", 1), ("own-t0.5", 0.5)]
    assert found["own-t0.5"]["as_declared"]
    assert found["own-t0.5"]["as_model"]["surprise_gap"] < found["own"]["as_model"]["surprise_gap"]
    assert "T 0.5" in (tmp_path / "study" / "figures" / "sweep.svg").read_text()


def test_a_sweep_states_a_bos_only_where_generate_was_told_one(
    run: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = []

    def note(wish: GenerateConfig, _: Any) -> CorpusResult:
        wishes.append(wish)
        return CorpusResult(wish.out or run, read_manifest(run / "corpora" / "own"), False, "")

    monkeypatch.setattr(study, "generate", note)
    own = run / "corpora" / "own"
    study._sweep(configured(run, temperatures=(1, 0.5)), own, family_model("gpt2")[0], 300, silent)
    assert [(wish.out, wish.bos, wish.temperature) for wish in wishes] == [(own.parent / "own-t0.5", None, 0.5)]


def test_a_sweep_of_the_quantised_model_is_another_ones(
    run: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = []

    def note(wish: GenerateConfig, _: Any) -> CorpusResult:
        wishes.append((wish.out, wish.load))
        return CorpusResult(wish.out or run, read_manifest(run / "corpora" / "own"), False, "")

    monkeypatch.setattr(study, "generate", note)
    own, (spec, _) = run / "corpora" / "own", family_model("gpt2")
    for load in (None, "4bit"):
        study._sweep(configured(run, temperatures=(0.5,)), own, replace(spec, load=load), 300, silent)
    assert wishes == [(own.parent / "own-t0.5", "full"), (own.parent / "own-4bit-t0.5", "4bit")]


def test_a_figure_stands_beside_the_tokens_it_was_computed_on(done: Done) -> None:
    cell = cells(done)["own"]
    cell = cell | {"figures": cell["figures"] | {"unigram_tokens": 77}}
    rows = {row.metric: row.parameter for row in study._rows([cell], 55) if row.metric not in study.CURVES}
    assert {rows[metric] for metric in study.UNIGRAM_FIGURES} == {77}
    assert rows["ce"] == rows["excess_ce"] == rows["p_pit"] == cell["as_model"]["tokens_scored"]
    assert rows["eos_rate"] == 55
    assert rows["near_duplicate_rate"] == cell["text"]["computed_on"]["near_duplicate_rate"]


def test_the_command_takes_the_current_run_and_prints_tables(
    done: Done, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent.parent)
    (run.parent / "current").write_text("toy\n")
    stated = ["--tokens", "6000", "--device", "cpu"]
    told = CliRunner().invoke(app, ["study", "corpora", *stated])
    assert told.exit_code == 0, told.output
    for word in (*NAMES, "excess ce", "distinct 2", "as it was declared"):
        assert word in told.stdout
    value = CliRunner().invoke(app, ["study", "corpora", *stated, "--json"])
    told_json = json.loads(value.stdout)
    assert told_json["contrasts"] == [] and set(told_json["corpora"]) == set(NAMES)
    own = told_json["corpora"]["own"]
    assert own["excess_ce"]["ci95"][0] < own["excess_ce"]["value"] < own["excess_ce"]["ci95"][1]
    assert isinstance(own["distinct_2"], float)


def test_refusals(run: Path, tmp_path: Path, family_model: Model) -> None:
    spec = family_model("gpt_neox")[0]
    noise = [np.arange(5, 30) for _ in range(9)]
    foreign = write_external(tmp_path / "foreign", spec, {"train": noise})
    with pytest.raises(FaithfulError, match="tokenised for"):
        study_corpora(configured(run, folders=(run / "corpora" / "own", foreign)))
    with pytest.raises(FaithfulError, match="faithful generate"):
        study_corpora(configured(run, folders=(foreign,), out=tmp_path / "out"))
    twin = write_external(tmp_path / "own", spec, {"train": noise})
    with pytest.raises(FaithfulError, match="Two corpora are named own"):
        study_corpora(configured(run, folders=(run / "corpora" / "own", twin)))
    with pytest.raises(FaithfulError, match="no corpus"):
        study_corpora(configured(run, folders=()))
    (foreign / "data" / "part-00000.parquet").write_bytes(b"broken")
    with pytest.raises(FaithfulError, match="missing or damaged"):
        study_corpora(configured(run, folders=(foreign,)))
    for other in ("noise", "own-t0.7"):
        with pytest.raises(FaithfulError, match="not sampled from"):
            study_corpora(
                configured(run, own=run / "corpora" / other, out=tmp_path / "other", temperatures=(0.85,), budget=50)
            )
    assert not list((run / "corpora").glob("*0.85*")), "nothing is sampled first"
    for model in (None, family_model("gpt2")[0].source):
        with pytest.raises(FaithfulError, match="'foo' is not a dtype"):
            study_corpora(configured(run, model=model, dtype="foo", out=tmp_path / "typed"))


def test_a_corpus_named_twice_is_one(run: Path, tmp_path: Path) -> None:
    own = run / "corpora" / "own"
    twice = configured(
        run, folders=(own, run / "corpora" / ".." / "corpora" / "own"), out=tmp_path, tokens=300, budget=300
    )
    assert list(study_corpora(twice).summary["corpora"]) == ["own"]


def test_text_of_another_model_is_of_no_sampling_of_this_one(run: Path, tmp_path: Path) -> None:
    own = run / "corpora" / "own"
    other = shutil.copytree(own, tmp_path / "big")
    manifest = read_manifest(other)
    manifest.identity["model"]["revision"] = "a" * 40
    write_manifest(other, manifest)
    found = cells(study_corpora(configured(run, folders=(own, other), out=tmp_path / "out", tokens=300, budget=300)))
    assert found["own"]["sampling"]["temperature"] == 1 and found["big"]["sampling"] is None


def test_a_model_that_is_named_is_loaded_as_its_own_corpus_was_sampled(
    tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec_module, "require_quantising", lambda _: None)
    spec, model = family_model("gpt2")
    own = Corpus(write_own(tmp_path / "own", spec, model, Sampling(max_tokens=9), {"train": 60, "test": 60}))
    config = configured(tmp_path, folders=(own.folder,), model=spec.source)
    assert study._model(config, [own], "cpu").load is None
    own.manifest.identity["model"]["load"] = "4bit"
    quantised = study._model(config, [own], "cpu")
    assert quantised.load == "4bit" and study._model(replace(config, load="full"), [own], "cpu").load is None
    with pytest.raises(FaithfulError, match=r"make one with `faithful generate .*--load 4bit`"):
        study._own([own.folder], quantised)


def test_text_of_the_model_quantised_otherwise_is_said_to_be_another_models(
    tmp_path: Path, family_model: Model
) -> None:
    spec, model = family_model("gpt2")
    own = write_own(tmp_path / "own", spec, model, Sampling(max_tokens=LONGEST), {"train": 500, "test": 300})
    other = write_own(tmp_path / "own-4bit", spec, model, Sampling(max_tokens=LONGEST), {"train": 500, "test": 50}, 1)
    manifest = read_manifest(other)
    manifest.identity["model"]["load"] = manifest.provenance["model"]["load"] = "4bit"
    write_manifest(other, manifest)
    done = study_corpora(configured(tmp_path, folders=(own, other), out=tmp_path / "study", tokens=300))
    (said,) = done.summary["loads"]
    assert said.startswith("own-4bit was sampled from") and done.summary["reference"] == "own"
    found = cells(done)
    assert found["own-4bit"]["loaded_otherwise"] == said and "loaded_otherwise" not in found["own"]
    assert not (done.folder / "figures" / "sweep.svg").exists()
