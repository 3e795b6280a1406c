"""What a command says to type next fits what lies in the run."""

import json
import os
from pathlib import Path

import pytest

from faithful.cli.output.next_step import following, next_step
from studies.catalog import STUDIES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/tiny/corpora").mkdir(parents=True)
    (tmp_path / "runs/current").write_text("tiny\n")
    return Path("runs/tiny")


def write(path: Path, value: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def corpus(run: Path, name: str, kind: str, model: str = "tiny") -> Path:
    write(run / "corpora" / name / "corpus.json", {"kind": kind, "provenance": {"model": {"source": model}}})
    return run / "corpora" / name


def test_from_nothing_to_the_hub(run: Path) -> None:
    assert next_step(run) == "faithful generate"
    own = corpus(run, "own", "own")
    assert following(own, "x") == "faithful corpus add prose"
    corpus(run, "prose", "external")
    assert following(own, "x") == "faithful train"
    write(run / "saes/own/resid_pre.3-f8-k2/seed-0/cfg.json")
    assert following(run / "saes", "x") == "faithful train", "not every corpus has SAEs"
    write(run / "saes/prose/resid_pre.3-f8-k2/seed-0/cfg.json")
    for study in STUDIES:
        assert next_step(run) == f"faithful study {study}"
        write(run / "studies" / study / "summary.json")
    for study in STUDIES:
        assert following(run / "studies" / study, "x") == "faithful report runs/tiny", study
    write(run / "report.html")
    assert next_step(run) == "faithful publish run runs/tiny USER/REPO --dry-run"
    os.utime(run / "report.html", (1, 1))
    assert next_step(run) == "faithful report runs/tiny", "the report is older than a study"
    write(run / "report.html")
    write(run / "studies" / "variants" / "summary.json")
    os.utime(run / "report.html", (2, 2))
    for study in STUDIES:
        os.utime(run / "studies" / study / "summary.json", (1, 1))
    assert next_step(run) == "faithful report runs/tiny", "an optional study is newer"


def test_another_model_another_run_and_no_run(run: Path, tmp_path: Path) -> None:
    other = Path("runs/gpt2")
    corpus(other, "own", "own", "gpt2")
    assert next_step(other) == "faithful corpus add fineweb --for gpt2 --run gpt2"
    write(other / "corpora/broken/corpus.json", [])
    assert next_step(other) == "faithful train --run gpt2"
    lonely = corpus(tmp_path, "own", "own").rename(tmp_path / "lonely")
    assert following(lonely, "otherwise") == "otherwise"


def test_a_run_beside_the_others_is_typed_as_a_place(run: Path) -> None:
    """`--run exp` is `runs/exp`."""
    beside = Path("exp")
    corpus(beside, "own", "own")
    corpus(beside, "prose", "external")
    assert next_step(beside) == "faithful train --run ./exp"
    for name in ("own", "prose"):
        write(beside / f"saes/{name}/resid_pre.3-f8-k2/seed-0/cfg.json")
    for study in STUDIES:
        write(beside / "studies" / study / "summary.json")
    assert next_step(beside) == "faithful report ./exp"
