"""`faithful run` as typed: dry runs, and options named as the command names them."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.browse.config import BrowseConfig
from studies.browse.write import Done
from studies.runs.forecast import costs
from studies.runs.recipe_file import load_recipe
from tests.faithful.cli.called import call


def test_dry_run_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("run", "pythia-2.8b", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["steps"]) == 12
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, said in (("mps", "'mps' is not a device"), ("cuda", "no GPU here")):
        for words in (["--dry-run"], []):
            refused = call("run", "demo", "--device", device, *words)
            assert refused.exit_code == 2 and said in refused.output
    assert not list(tmp_path.iterdir())
    wrong = call("run", "pythia-2.8b", "--set", "train.colour=1", "--dry-run")
    assert wrong.exit_code == 2 and "not known" in wrong.output


def test_a_dry_run_says_what_is_done_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = costs(load_recipe("demo"), tmp_path)
    done = [one.step for one in found if one.step not in ("study fakes", "report")]
    monkeypatch.setattr("studies.runs.recipe.done_steps", lambda *given: done)
    told = call("run", "demo", "--dry-run", "--json")
    assert told.exit_code == 0, told.output
    steps = {step.pop("step"): step for step in json.loads(told.stdout)["steps"]}
    assert list(steps) == [one.step for one in found]
    nothing = {"tokens": 0, "flops": 0.0, "seconds": 0.0, "memory": 0, "disk": 0, "done": True}
    assert [name for name, step in steps.items() if step != nothing] == ["study fakes", "report"]
    rows = call("run", "demo", "--dry-run").stdout.splitlines()
    assert sum(line.split("\t")[1:2] == ["done"] for line in rows) == len(done)


def test_a_forecast_for_another_machine_needs_none_of_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = ("run", "pythia-2.8b", "--set", "train.device=cuda", "--dry-run", "--json")
    assert "no GPU here" in call(*words).stderr
    for more in (["--assume", "h100"], ["--assume", "h100", "--device", "cuda"], ["--executor", "ray"]):
        done = call(*words, *more)
        assert done.exit_code == 0, done.output
    assert "seeds twice" in call("run", "demo", "--dry-run", "--set", "seeds=0-2", "--set", "seeds=0-7").stderr


def test_a_step_that_wants_another_folder_names_the_option_of_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise FaithfulError("it was made otherwise. Choose another --out; nothing was changed.")

    monkeypatch.chdir(tmp_path)
    for place, words in (("run_recipe", []), ("done_steps", ["--dry-run"])):
        monkeypatch.setattr(f"studies.runs.recipe.{place}", refuse)
        told = call("run", "demo", *words)
        assert told.exit_code == 2 and "Choose another --run; nothing was changed." in told.stderr


def test_browse_says_what_lacks_and_which_file_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tried").mkdir(parents=True)
    told: list[BrowseConfig] = []

    def write(config: BrowseConfig, report: object) -> Done:
        told.append(config)
        return Done(
            Path("runs/tried/browse"), 2, 1024, 2**20, [("whether a latent is fake", "faithful study fakes runs/tried")]
        )

    monkeypatch.setattr("studies.browse.write.browse", write)
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


def test_a_run_without_saes_has_nothing_to_browse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tried" / "saes").mkdir(parents=True)
    done = call("browse", "tried")
    assert done.exit_code == 2 and "holds no SAEs; train some" in done.stderr
