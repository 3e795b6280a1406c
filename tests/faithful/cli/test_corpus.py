"""`faithful corpus stats`, `certify` and `export` as typed."""

import json
from pathlib import Path

import pytest

from tests.faithful.cli.called import call, refused


@pytest.mark.parametrize("command", [["stats"], ["certify"], ["export", "--context", "16"]], ids=lambda c: c[0])
def test_a_missing_folder_is_one_sentence(command: list[str]) -> None:
    assert "faithful generate" in refused("corpus", command[0], "nowhere", *command[1:])
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", ["stats", "certify"])
def test_without_a_folder_and_a_run_it_says_how_to_begin(command: str) -> None:
    assert "no current run" in refused("corpus", command)
    Path("runs/empty").mkdir(parents=True)
    assert "holds no corpus" in refused("corpus", command, "--run", "empty")
    assert "does not exist" in refused("corpus", command, "--run", "gone")


@pytest.mark.parametrize("flags", [[], ["--strict"]], ids=["plain", "strict"])
@pytest.mark.parametrize("verdict", ["consistent with the declared sampling", "close", "not from this distribution"])
def test_only_strict_minds_the_verdict(monkeypatch: pytest.MonkeyPatch, verdict: str, flags: list[str]) -> None:
    monkeypatch.setattr(
        "generation.certificate.certify.certify", lambda config, report: {"verdict": verdict, "tests": {}}
    )
    done = call("corpus", "certify", "somewhere", "--json", *flags)
    assert json.loads(done.stdout)["verdict"] == verdict
    assert done.exit_code == int(bool(flags) and not verdict.startswith("consistent"))


def test_export_knows_one_format() -> None:
    assert "input_ids" in refused("corpus", "export", "x", "--context", "8", "--format", "csv")
