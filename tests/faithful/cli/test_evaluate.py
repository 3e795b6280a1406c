"""`faithful evaluate …` as typed."""

from pathlib import Path

import pytest

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


def test_both_are_listed() -> None:
    assert {"saebench", "sae-probes"} <= set(call("evaluate", "--help").stdout.split())
