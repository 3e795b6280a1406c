"""What may have been meant by a name that is not known."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean
from faithful.options.fields import options_of
from faithful.options.values import read_values
from faithful.store.places import current_run
from faithful.store.saes import find_saes
from generation.sources.resolve import resolve_source
from studies.runs.recipe_file import load_recipe
from studies.seeds.config import SeedsConfig


def test_near_names_are_found_and_far_ones_are_not() -> None:
    known = ["pythia-2.8b", "gpt2", "fineweb_edu"]
    assert did_you_mean("GTP2", known) == " Did you mean gpt2?"
    assert did_you_mean("fineweb-edu", known) == " Did you mean fineweb_edu?"
    assert did_you_mean("pythia 2.8", known, {"pythia-2.8b": "runs/pythia-2.8b"}) == " Did you mean runs/pythia-2.8b?"
    assert did_you_mean("llama", known) == did_you_mean("", known) == did_you_mean("x", []) == ""


def test_every_kind_of_name_suggests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/tiny/saes").mkdir(parents=True)
    (tmp_path / "letters.jsonl").touch()
    for ask, meant in (
        (lambda: resolve_source("fineweeb"), "fineweb"),
        (lambda: resolve_source("leters.jsonl"), "letters.jsonl"),
        (lambda: current_run("tinny"), "tiny"),
        (lambda: load_recipe("dmo"), "demo"),
        (lambda: read_values(options_of(SeedsConfig), {"gausian_seeds": "1"}, "--set"), "gaussian_seeds"),
        (lambda: find_saes(["tinny"]), "runs/tiny"),
    ):
        with pytest.raises(FaithfulError, match=rf"Did you mean {meant}\?$"):
            ask()
