"""`faithful evaluate …` as typed."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from tests.faithful.cli.called import call, refused


def test_without_an_environment_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("saebench", "sae-probes"):
        told = refused("evaluate", name, "somewhere")
        assert "There is no .venv-saebench/bin/python" in told and "python3 -m venv .venv-saebench &&" in told


def test_an_evaluation_that_is_not_to_be_had_is_refused_first() -> None:
    assert "unlearning is not run here: it needs gemma-2-2b-it" in refused(
        "evaluate", "saebench", "x", "--evals", "core,unlearning"
    )


def test_where_it_goes_is_the_run_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Path] = []

    def evaluate(config: Any, report: object) -> None:
        places.append(config.out)
        raise FaithfulError("That is enough.")

    monkeypatch.setattr("studies.bridge.evaluate.evaluate_saebench", evaluate)
    for words in ([], ["--run", "mine"], ["--run", "./mine"], ["--run", "mine", "--out", "there"]):
        assert "That is enough." in refused("evaluate", "saebench", "someone/saes", *words)
    home = Path("runs")
    at = "evaluations/saebench"
    assert places == [home / "saes" / at, home / "mine" / at, Path("mine") / at, Path("there")]


def test_both_are_listed() -> None:
    assert {"saebench", "sae-probes"} <= set(call("evaluate", "--help").stdout.split())
