"""The demo as users type it, with its sizes cut: every step of the shipped recipe, run again, changed by hand, and mended."""

import json
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faithful.cli import app
from studies.catalog import STUDIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUT = {
    "seeds": "0,1",
    "tokens": "4k",
    "corpora.own.certify_tokens": "1k",
    "corpora.own.workers": "1",
    **{f"corpora.{name}.held_out": "900" for name in ("own", "stdlib", "prose")},
    "train.d_sae": "64",
    "train.k": "4",
    "train.eval_tokens": "300",
    "studies.corpora.tokens": "1k",
    "studies.corpora.budget": "3k",
    **{f"studies.{name}.tokens": "900" for name in ("seeds", "fakes", "reconstruction", "probes")},
    "studies.seeds.gaussian_steps": "5",
    "studies.fakes.noise_tokens": "1k",
    "studies.probes.tasks": "comment",
    "studies.probes.train_size": "64",
    "studies.probes.test_size": "32",
    "studies.probes.ks": "1",
}
STEPS = ["corpus own", "corpus stdlib", "corpus prose", "train", *(f"study {name}" for name in STUDIES), "report"]
RUN = Path("runs/demo")


def typed(*arguments: str) -> str:
    """What a command says, on stdout and stderr."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def stated() -> list[str]:
    """The cut sizes as options."""
    return [part for name, value in CUT.items() for part in ("--set", f"{name}={value}")]


def run_demo() -> dict[str, Any]:
    """What `faithful run demo --json` says."""
    done = CliRunner().invoke(app, ["run", "demo", "--json", *stated()])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_demo()
    assert sorted(first["done"]) == sorted(STEPS) and first["skipped"] == []
    html = unescape((RUN / "report.html").read_text(encoding="utf-8"))
    assert (RUN / "report.html").stat().st_size < 2_000_000, "a page that can be sent"
    assert "Not done:" not in html and "It cannot be decided." in html
    for study in STUDIES.values():
        assert study.question in html
    for told in (
        "gaussian steps",
        "noise tokens",
        "train size",
        "evaluation",
        "--set gaussian_steps=5",
        "--corpus runs/demo/corpora/own",
    ):
        assert told in html, told

    before = written()
    assert "All 10 steps of runs/demo are done already: nothing to do." in typed("run", "demo", *stated())
    assert written() == before

    assert "Report: runs/demo/report.html" in typed("report")
    typed("study", "seeds")
    assert run_demo()["done"] == {}, "as typed it says again what it said"
    typed("study", "seeds", "--tokens", "600")
    printed = next(line for line in html.splitlines() if line.startswith("faithful study seeds"))
    typed(*printed.split()[1:])
    assert run_demo()["done"] == {}, "as the report prints it, it gives what the report shows"
    typed("study", "seeds", "--tokens", "600")
    assert list(run_demo()["done"]) == ["study seeds", "report"]
    gone = next((RUN / "saes" / "own").glob("*/seed-1"))
    shutil.rmtree(gone)
    assert list(run_demo()["done"]) == ["train", "report"]
    assert (gone / "cfg.json").exists() and run_demo()["done"] == {}


def written() -> dict[Path, int]:
    """When each file of the run was written, but those that every start touches."""
    touched = {"recipe.toml", ".lock"}
    return {path: path.stat().st_mtime_ns for path in RUN.rglob("*") if path.is_file() and path.name not in touched}
