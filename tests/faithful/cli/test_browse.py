"""`faithful browse` as typed."""

import json
from pathlib import Path

import pytest

from studies.browse.config import BrowseConfig
from studies.browse.write import Done
from tests.faithful.cli.called import call


def test_it_says_what_lacks_and_which_file_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tried").mkdir(parents=True)
    told: list[BrowseConfig] = []

    def write(config: BrowseConfig, report: object) -> Done:
        told.append(config)
        return Done(
            Path("runs/tried/browse"), 2, 1024, 2**20, [("whether a latent is fake", "faithful study fakes runs/tried")]
        )

    monkeypatch.setattr("studies.browse.write.write_pages", write)
    done = call("browse", "tried", "--sae", "own", "--tokens", "9k")
    assert done.exit_code == 0, done.output
    assert told == [BrowseConfig(Path("runs/tried"), saes=("own",), tokens=9000)]
    assert "1,024 latents of 2 SAEs, 1.0 MiB: runs/tried/browse" in done.stderr
    assert "`faithful study fakes runs/tried` adds it" in done.stderr
    assert done.stderr.endswith("Next: open runs/tried/browse/index.html\n")
    values = json.loads(call("browse", "tried", "--json").stdout)
    assert values["page"] == "runs/tried/browse/index.html" and values["missing"][0]["command"].startswith(
        "faithful study"
    )


def test_a_run_without_saes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tried" / "saes").mkdir(parents=True)
    done = call("browse", "tried")
    assert done.exit_code == 2 and "holds no SAEs; train some" in done.stderr
