"""The study commands as typed: what they are told by the study that is there, where they write, what they leave behind."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.files import write_text
from faithful.base.progress import silent
from faithful.cli import app
from faithful.models.spec import ModelSpec
from faithful.store.corpora_of_saes import remember_corpora
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from studies.catalog import STUDIES
from studies.common.config import StudyConfig
from studies.common.study import Study
from studies.reconstruction import figures as reconstruction_figures
from tests.own import write_own
from tests.studies.random_saes import write_plain, write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]


def type_in(*words: str) -> Result:
    return CliRunner().invoke(app, ["study", *words])


def corpora_of(folder: Path, family_model: Model, held_out: int) -> list[Path]:
    """The own corpus of a run and a cooler one."""
    spec, model = family_model("gpt2")
    sampling, sizes = Sampling(max_tokens=31), {"train": 1200, "test": held_out}
    return [
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora, an SAE of each; never change it."""
    folder = tmp_path_factory.mktemp("made")
    corpora = corpora_of(folder, family_model, 400)
    for corpus in corpora:
        write_recorded(folder / "saes", corpus.name, 0, family_model("gpt2")[1].config.hidden_size, 24)
    remember_corpora(folder / "saes", corpora)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the current run."""
    monkeypatch.chdir(tmp_path)
    write_text(Path("runs") / "current", "tried\n")
    return shutil.copytree(made, Path("runs") / "tried")


def test_what_is_left_out_is_as_the_study_there_was_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction_figures, "draw", lambda *given: write_text(given[-1] / "fvu.svg", "<svg/>"))
    out, own = run / "studies" / "reconstruction", run / "corpora" / "own"
    stated = ["--tokens", "300", "--device", "cpu", "--set", "ks=1,2", "--corpus", str(own)]
    first = type_in("reconstruction", *stated)
    assert first.exit_code == 0, first.output
    assert "was told" not in first.stderr
    settings = json.loads((out / "settings.json").read_text())
    assert {name: settings[name] for name in ("saes", "out", "corpora", "tokens", "ks", "seed", "own")} == {
        "saes": [str(run / "saes")], "out": settings["out"], "corpora": [str(own)], "tokens": 300, "ks": [1, 2], "seed": 0,
        "own": None,
    }  # fmt: skip
    assert Path(settings["out"]).resolve() == out.resolve()
    summary, kept = (out / "summary.json").read_text(), {path: path.stat().st_mtime_ns for path in out.rglob("cells/*")}
    drawn = {path.name for path in (out / "figures").iterdir()}
    write_text(out / "figures" / "of-more-corpora.svg", "<svg/>")
    assert kept and drawn

    each = [str(run / "saes" / name) for name in ("cool", "own")]
    for words, told in (
        ([], f"corpora {own}, device cpu, tokens 300, ks 1,2; state an option to change it."),
        ([*each, "--tokens", "300", "--json"], f"corpora {own}, device cpu, ks 1,2; state an option to change it."),
    ):
        again = type_in("reconstruction", *words)
        assert again.exit_code == 0, again.output
        assert [line.endswith(f"was told: {told}") for line in again.stderr.splitlines() if "told" in line] == [True]
        assert (out / "summary.json").read_text() == summary
        assert {path: path.stat().st_mtime_ns for path in out.rglob("cells/*")} == kept
        assert {path.name for path in (out / "figures").iterdir()} == drawn


def test_corpora_that_are_gone_and_studies_of_other_saes_tell_nothing(run: Path) -> None:
    study, out = STUDIES["seeds"], Path("there")
    told = {"corpora": ["nowhere"], "model": "tiny", "examples": 5, "gaussian_seeds": 1}
    write_text(out / "settings.json", json.dumps(told | {"saes": [str(run / "saes")], "tokens": 70, "odd": 1}))
    wish, kept = study.configure(out, {"saes": (str(run.resolve() / "saes"),), "model": "gpt2"})
    assert kept == {"tokens": 70, "gaussian_seeds": 1}
    assert (wish.tokens, wish.model, wish.corpora, wish.out) == (70, "gpt2", (), out)
    assert study.configure(out, {"saes": ("someone/else",)})[1] == {}
    write_text(out / "settings.json", "[")
    with pytest.raises(FaithfulError, match=r"settings\.json: .*; delete it"):
        study.configure(out, {"saes": (str(run / "saes"),)})


def test_paths_and_numbers_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = STUDIES["corpora"].config
    wish = config(
        folders=(tmp_path / "a", tmp_path / "b"), out=tmp_path, own=tmp_path / "a", temperatures=(0.5, 1.0), tokens=9
    )
    monkeypatch.setattr("studies.corpora.study.study_corpora", lambda config, report: config)
    assert STUDIES["corpora"].run(wish, silent) == wish
    again, kept = STUDIES["corpora"].configure(tmp_path, {"folders": wish.folders})
    assert again == wish and set(kept) == {"own", "temperatures", "tokens"}


def test_a_study_that_breaks_off_leaves_figures_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks = [False, True, False]

    def study(config: StudyConfig, report: Any) -> None:
        names = ("one", "two") if config.seed == 0 else ("two",)
        for name in names:
            write_text(config.out / "figures" / f"{name}.svg", "<svg/>")
        if breaks.pop(0):
            raise KeyboardInterrupt

    monkeypatch.setattr(Study, "load", lambda self: study)
    told = [StudyConfig(("saes",), tmp_path, seed=seed) for seed in (0, 1, 1)]

    def left() -> tuple[int, list[str]]:
        seed = json.loads((tmp_path / "settings.json").read_text())["seed"]
        return seed, sorted(path.stem for path in (tmp_path / "figures").iterdir())

    STUDIES["seeds"].run(told[0], silent)
    assert left() == (0, ["one", "two"])
    with pytest.raises(KeyboardInterrupt):
        STUDIES["seeds"].run(told[1], silent)
    assert left() == (0, ["one", "two"])
    STUDIES["seeds"].run(told[2], silent)
    assert left() == (1, ["two"])


@pytest.mark.parametrize(
    "places",
    [["saes/own"], ["saes/own", "aside"], ["saes", "aside"], ["saes", "some/one"], ["aside", "--run", "tried"]],
)
def test_other_saes_than_the_runs_do_not_replace_its_study(run: Path, places: list[str]) -> None:
    write_plain(run / "aside", 64, 24)
    named = [str(run / place) if place.startswith(("saes", "aside")) else place for place in places]
    done = type_in("fakes", *named)
    assert done.exit_code == 2
    assert "is for a study of all 2 SAEs of" in done.stderr and "say with --out where" in done.stderr
    assert not (run / "studies").exists()


def test_studies_of_saes_on_the_hub_go_to_a_run_called_as_their_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not into the working directory, which may be anything."""
    monkeypatch.chdir(tmp_path)
    places: list[Path] = []
    monkeypatch.setattr("faithful.cli.study._do", lambda name, out, stated, as_json, **_: places.append(out))
    for words in (["someone/saes"], ["someone/saes/own/resid_pre.8-f64-k4"], ["someone/saes", "--run", "mine"]):
        assert type_in("probes", *words).exit_code == 0
    home = Path("runs")
    assert places == [home / "saes/studies/probes", home / "saes/studies/probes", home / "mine/studies/probes"]


@pytest.mark.parametrize("name", ["seeds", "fakes", "probes", "reconstruction"])
def test_help_names_every_setting_with_its_default(name: str) -> None:
    done = type_in(name, "--help")
    told = " ".join(done.stdout.split())
    assert done.exit_code == 0 and "left out are those of the study that is there" in told
    settings = told.partition("Settings for --set (default):")[2]
    expected = {
        "seeds": ["gaussian_seeds (2): SAEs trained", "gaussian_steps: ", "examples (5): "],
        "fakes": ["noise_tokens: Random tokens", "examples (5): "],
        "probes": ["text_column: ", "ks (1,2,5,10,20,50): ", "train_size: ", "folds (4): "],
        "reconstruction": ["ks (1,2,4): Divisors of k"],
    }
    assert all(one in settings for one in [*expected[name], "context: ", "layout: "])
    assert "panel_seed: " in settings
    assert not any(re.search(rf"\b{one}\b", settings) for one in ("device", "seed:", "saes:", "own:"))


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ([], "faithful train"),
        (["--run", "tried"], "faithful train --run tried"),
        (["a", "b"], "faithful train --corpus a --corpus b"),
    ],
)
def test_what_comes_after_a_study_of_corpora_is_to_train_on_all_of_them(
    run: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], after: str
) -> None:
    monkeypatch.setattr(
        Study, "run", lambda self, wish, report: SimpleNamespace(summary={"contrasts": []}, taken=(), folder=run)
    )
    monkeypatch.setattr("studies.corpora.tables.corpora_tables", lambda summary: [])
    done = type_in("corpora", *words)
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1] == f"Next: {after}"


@pytest.mark.parametrize("option", ["--part", "--dry-run", "--executor", "--ray"])
def test_options_of_work_that_is_shared_out_are_of_the_studies_that_have_some(run: Path, option: str) -> None:
    refused = type_in("variants", option)
    assert refused.exit_code == 2 and f"No such option: {option}" in refused.stderr
    assert option not in type_in("variants", "--help").stdout
    assert option in type_in("seeds", "--help").stdout


def test_all_leaves_out_what_asks_a_server_and_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("faithful.cli.study._do", lambda study, *_, **__: done.append(study.name))
    monkeypatch.setattr("studies.report.write.write_report", lambda config: Path("report.html"))
    for name in ("explanations", "sparsity"):
        write_text(run / "studies" / name / "summary.json", "{}")
    told = type_in("all", "--run", "tried")
    assert told.exit_code == 0, told.output
    assert "sparsity" in done and "explanations" not in done
    assert "Not done again: explanations, whose endpoint is not kept; `faithful explain --run tried`" in told.stderr


@pytest.mark.slow
def test_fakes_probes_and_all_as_typed(tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small sizes given once: `all` keeps them, and ends with the report."""
    monkeypatch.chdir(tmp_path)
    home = Path("runs") / "tried"
    corpora = corpora_of(home, family_model, 600)
    wish = TrainConfig(
        tuple(corpora), home / "saes", seeds=(0, 1), layer=1, d_sae=(48,), k=(4,), lr=3e-3, context=32, batch=256,
        device="cpu", eval_tokens=300,
    )  # fmt: skip
    train(wish)
    write_text(Path("runs") / "current", "tried\n")
    rng = np.random.default_rng(0)
    with Path("sides.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(160):
            side = number % 2
            words = " ".join(rng.choice(("aa", "bb") if side else ("xx", "yy"), 5))
            writer.writerow([f"{words} {number}", (side + (rng.random() < 0.25)) % 2])
    probes = {"train_size": 64, "test_size": 48, "curve_points": 1, "ks": 1}
    for name, values in {"fakes": {"noise_tokens": 600}, "probes": probes, "seeds": {"gaussian_seeds": 0}}.items():
        settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        task = ["--task", "sides.csv:text:label"] if name == "probes" else []
        done = type_in(name, "--tokens", "400", *task, *settings)
        assert done.exit_code == 0, done.output
        assert "cool" in done.stdout and "Next: faithful study corpora" in done.stderr
        assert "cannot be decided: 2 seeds" in done.stderr
    done = type_in("all", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["studies"]) == set(STUDIES)
    assert all(set(one["corpora"]) == {"own", "cool"} for one in found["studies"].values())
    assert found["studies"]["probes"]["reused"] == 9 and list(found["studies"]["probes"]["tasks"]) == ["sides"]
    assert json.loads((home / "studies" / "fakes" / "settings.json").read_text())["noise_tokens"] == 600
    html = unescape((home / "report.html").read_text(encoding="utf-8"))
    assert all(study.question in html for study in STUDIES.values())


def test_a_run_is_taken_for_its_saes_and_for_its_corpora(run: Path) -> None:
    stated = ["--tokens", "300", "--device", "cpu", "--set", "ks=1"]
    done = type_in("reconstruction", str(run), *stated)
    assert done.exit_code == 0, done.output
    assert "Not in the panel" not in done.stderr, "the held-out text of a run's corpora is found beside its SAEs"
    settings = json.loads((run / "studies" / "reconstruction" / "settings.json").read_text())
    assert settings["saes"] == [str(run / "saes")]
    assert type_in("reconstruction", "tried", *stated).exit_code == 0, "a run's bare name"
    assert type_in("reconstruction", str(run / "saes"), *stated, "--corpus", str(run)).exit_code == 0
    assert not (run / "studies" / "reconstruction" / "runs").exists()
    assert sorted(path.name for path in Path("runs").iterdir()) == ["current", "tried"], "no run that nobody made"
    assert type_in("corpora", str(run), "--tokens", "300", "--device", "cpu").exit_code == 0
    assert list(json.loads((run / "studies/corpora/summary.json").read_text())["corpora"]) == ["cool", "own"]
