"""How to make it again."""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faithful.base.digest import digest
from faithful.cli import app
from faithful.models.spec import ModelSpec
from faithful.store.corpus import read_manifest, write_manifest
from generation.configs.derive import MixConfig, ShuffleConfig, SubsampleConfig
from generation.derived.mix import mix
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.sampling.distribution import Sampling
from studies.report.found import StudyFound, read_run
from studies.report.reproduce import commands, sizes_table, study_command
from tests.own import write_own
from tests.studies.report.runs_made import (
    MODEL,
    seeds_summary,
    write_corpus,
    write_run,
    write_study,
)


def test_a_study_s_command_states_all_that_it_was_told(tmp_path: Path) -> None:
    write_study(tmp_path, "seeds", seeds_summary())
    folder = tmp_path / "studies" / "seeds"
    study = StudyFound("seeds", folder, {})
    assert study_command(study, "demo") == "faithful study seeds --run demo"
    told = {
        "saes": ["/home/me/runs/demo/saes"], "out": "/home/me/runs/demo/studies/seeds", "own": None, "examples": 5,
        "corpora": ["/home/me/runs/demo/corpora/own", "/home/me/my prose"], "model": "tiny", "tokens": 8000, "context": 64,
        "seed": 3, "device": None, "gaussian_steps": 150,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(told))
    assert study_command(study, "demo") == (
        "faithful study seeds --corpus runs/demo/corpora/own --corpus 'my prose' --model tiny"
        " --set context=64 --seed 3 --tokens 8000 --set gaussian_steps=150 --run demo"
    )
    (folder / "settings.json").write_text(json.dumps({"saes": ["USER/REPO", "runs/demo/saes/own"]}))
    assert study_command(study, "demo") == "faithful study seeds USER/REPO runs/demo/saes/own --run demo"


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ("/data/runs/demo/corpora/prose", "runs/demo/corpora/prose"),
        ("/data/runs/before/corpora/prose", "runs/demo/corpora/prose"),
        ("/data/other/runs/foo/corpora/prose", "prose"),
        ("runs/foo/corpora/prose", "runs/foo/corpora/prose"),
        ("/data/corpora/prose", "prose"),
        ("corpora/prose", "runs/demo/corpora/prose"),
        ("/data/runs/demo/corpora/saes", "runs/demo/corpora/saes"),
    ],
)
def test_places_of_the_run_are_told_from_others(told: str, typed: str, tmp_path: Path) -> None:
    """The run was called otherwise when the study was done."""
    write_study(tmp_path, "seeds", {})
    folder = tmp_path / "studies" / "seeds"
    (folder / "settings.json").write_text(json.dumps({"out": "/data/runs/before/studies/seeds", "corpora": [told]}))
    assert study_command(StudyFound("seeds", folder, {}), "demo") == (
        f"faithful study seeds --corpus {typed} --run demo"
    )


def test_training_takes_the_model_of_the_run_s_corpora_where_they_are_its_own(tmp_path: Path) -> None:
    """Its name alone may be none that can be loaded."""
    run = write_run(tmp_path / "small")
    train = "faithful train --corpus runs/small/corpora/own --corpus runs/small/corpora/prose --out runs/small/saes"
    said = commands(read_run(run)).replace(" \\\n ", "")
    assert (
        f"{train} --seeds 0,1 --layer 3 " in said
        and "# The number of held-out tokens to evaluate on is the default" in said
    )
    for path in (run / "saes").rglob("cfg.json"):
        path.write_text(path.read_text().replace(MODEL["revision"], "another"))
    assert f"--model {MODEL['name']} --seeds" in commands(read_run(run)).replace(" \\\n ", "")


@pytest.mark.parametrize(
    ("total", "certificate", "stated"),
    [
        (50_000, {"tokens_scored": 50_000, "part": "every document"}, None),
        (50_000, {"tokens_scored": 20_100, "part": "0.4 of the documents, chosen by a hash of their index"}, 20_100),
        (800_000, {"tokens_scored": 98_000, "part": "0.125 of the documents, chosen by a hash of their index"}, None),
        (800_000, {"tokens_scored": 800_000, "part": "every document"}, 800_000),
        (800_000, None, 0),
    ],
)
def test_a_corpus_is_certified_again_as_much(
    total: int, certificate: dict[str, Any] | None, stated: int | None, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpora" / "own", "own", ["a"], [2])
    manifest = read_manifest(tmp_path / "corpora" / "own")
    manifest.shards["train"] = [replace(one, tokens=total) for one in manifest.shards["train"]]
    manifest.certificate = certificate  # type: ignore[assignment]
    write_manifest(tmp_path / "corpora" / "own", manifest)
    (line,) = [one for one in commands(read_run(tmp_path)).replace(" \\\n ", "").splitlines() if "generate" in one]
    assert (f" --certify-tokens {stated}" in line) if stated is not None else ("--certify" not in line)


def test_lists_and_the_study_of_corpora_have_options_of_their_own(tmp_path: Path) -> None:
    for name in ("probes", "corpora"):
        write_study(tmp_path, name, {})
    probes, corpora = (StudyFound(name, tmp_path / "studies" / name, {}) for name in ("probes", "corpora"))
    (probes.folder / "settings.json").write_text(json.dumps({"ks": [1, 10], "tasks": ["sst2", "a b.csv:text:label"]}))
    assert study_command(probes, "demo") == (
        "faithful study probes --task 'sst2,a b.csv:text:label' --set ks=1,10 --run demo"
    )
    told = {
        "folders": ["runs/demo/corpora/own"],
        "own": "runs/demo/corpora/own",
        "top_ps": [0.9, 1.0],
        "budget": 100000,
    }
    (corpora.folder / "settings.json").write_text(json.dumps(told))
    assert study_command(corpora, "demo") == (
        "faithful study corpora runs/demo/corpora/own --own runs/demo/corpora/own --budget 100000 --top-ps 0.9,1 --run demo"
    )


def test_what_a_study_was_told_stands_beside_what_it_is_otherwise(tmp_path: Path) -> None:
    run = write_run(tmp_path / "small")
    told = {"tokens": 8000, "gaussian_steps": 150, "gaussian_seeds": 2, "seed": 3, "out": "/home/me"}
    (run / "studies" / "seeds" / "settings.json").write_text(json.dumps(told))
    stated = [row[1:] for row in sizes_table(read_run(run)).rows if row[1].startswith("stated")]
    assert stated == [
        ("stated: tokens", "8,000", "30,000 on a CPU, 200,000 on a GPU"), ("stated: gaussian steps", "150", "–"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory, family_model: Callable[[str], tuple[ModelSpec, Any]]) -> Path:
    """A run of two corpora and three derived ones, of which one is made of another; never change it."""
    spec, model = family_model("gpt2")
    run = tmp_path_factory.mktemp("derived") / "runs" / "tried"
    own, cool = run / "corpora" / "own", run / "corpora" / "cool"
    for seed, folder in enumerate((own, cool)):
        write_own(folder, spec, model, Sampling(max_tokens=31), {"train": 1500, "test": 600}, seed)
    mix(MixConfig((own, cool), weights=(3, 1), out=run / "corpora" / "blend"))
    shuffle(ShuffleConfig(run / "corpora" / "blend", seed=2, out=run / "corpora" / "a-shuffled"))
    subsample(SubsampleConfig(own, tokens=300, like=cool, out=run / "corpora" / "part"))
    return run


def test_derived_corpora_are_made_again_as_typed(
    derived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the run's own corpora, in the order given, what one is made of before it."""
    lines = commands(read_run(derived)).replace("\\\n", "").splitlines()
    made = [shlex.split(line)[1:] for line in lines if " corpus " in line]
    assert [words[1] for words in made] == ["mix", "subsample", "shuffle"]
    assert made[0][2:4] == ["runs/tried/corpora/own", "runs/tried/corpora/cool"]
    for name in ("own", "cool"):
        shutil.copytree(derived / "corpora" / name, tmp_path / "runs" / "tried" / "corpora" / name)
    monkeypatch.chdir(tmp_path)
    for words in made:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    for name in ("blend", "a-shuffled", "part"):
        found, expected = (read_manifest(root / "corpora" / name) for root in (tmp_path / "runs" / "tried", derived))
        assert found.identity == expected.identity
        assert [one.sha256 for one in found.shards["train"]] == [one.sha256 for one in expected.shards["train"]]


def test_an_input_that_is_called_like_one_of_the_run_is_not_taken_for_it(derived: Path, tmp_path: Path) -> None:
    run = shutil.copytree(derived, tmp_path / "runs" / "tried")
    manifest = read_manifest(run / "corpora" / "part")
    manifest.identity["derivation"]["inputs"][0]["identity_sha256"] = digest("another one")
    write_manifest(run / "corpora" / "part", manifest)
    assert "faithful corpus subsample own --tokens 300 --like runs/tried/corpora/cool" in commands(read_run(run))


@pytest.mark.parametrize("broken", ["operation", "reading", "kind"])
def test_a_corpus_whose_making_was_not_recorded_is_said_to_be_so(broken: str, derived: Path, tmp_path: Path) -> None:
    run = shutil.copytree(derived, tmp_path / "runs" / "tried")
    manifest = read_manifest(run / "corpora" / "part")
    if broken == "operation":
        manifest.identity["derivation"]["operation"] = "knead"
    elif broken == "reading":
        del manifest.identity["derivation"]["inputs"]
    else:
        manifest.kind = "external"
    write_manifest(run / "corpora" / "part", manifest)
    lines = commands(read_run(run)).splitlines()
    assert "# corpus part: made otherwise, or its command was not recorded" in lines
    assert sum(line.startswith("faithful corpus") for line in lines) == 2
