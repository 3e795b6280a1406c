"""What a recipe may not be is said before anything is made, and keeps no mended recipe out."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.records import write_record
from faithful.executor.where import Here, at
from studies.runs.recipe import done_steps, run_recipe
from studies.runs.recipe_file import Recipe, parse_recipe, to_toml
from studies.runs.refusals import refuse_other_recipe


def recipe_of(**stated: Any) -> Recipe:
    return parse_recipe({"model": "tiny", "tokens": "20k", "corpora": {"own": {}}} | stated, "tried")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"seeds": "0,0"}, "Name each seed once"),
        ({"seeds": ""}, "Name each seed once"),
        ({"seeds": [-1, 2]}, "must not be negative"),
        ({"train": {"lr": -1}}, "--lr must be a finite number above 0"),
        ({"train": {"lr": float("inf")}}, "--lr is inf; state a finite number"),
        ({"corpora": {"own": {}, "hot": {"temperature": float("nan")}}}, "--temperature is nan; state a finite number"),
        ({"train": {"epochs": 0}}, "--epochs must be a finite number above 0"),
        ({"train": {"layer": 99}}, "tiny has layers 0 to 3, not 99"),
        ({"train": {"layer": -1}}, "tiny has layers 0 to 3, not -1"),
        ({"train": {"k": 100_000}}, "k 100000 does not fit"),
        ({"train": {"hook": "resid"}}, "'resid' is not a hook"),
        ({"train": {"context": 100_000}}, "A context of 100000 tokens does not fit tiny"),
        ({"train": {"layout": "loose"}}, "'loose' is not a layout"),
        ({"train": {"log": "paper"}}, "'paper' is not a logger"),
        ({"train": {"batch": 0}}, "--batch must be at least 1"),
        ({"train": {"tokens": "20k", "epochs": 2}}, "--tokens or --epochs, not both"),
        ({"corpora": {"own": {}, "hot": {"temperature": 9}}}, "temperature must be between 0 and 2"),
        ({"corpora": {"own": {}, "hot": {"max_tokens": 100_000}}}, "--max-tokens 100000 does not fit"),
        ({"corpora": {"own": {}, "hot": {"workers": 0}}}, "must be at least 1"),
        ({"studies": {"fakes": {"device": "tpu"}}}, "'tpu' is not a device"),
    ],
    ids=str,
)
def test_what_a_step_would_refuse_is_refused_before_anything_is_made(
    stated: dict[str, Any], said: str, tmp_path: Path
) -> None:
    for ask in (run_recipe, done_steps):
        with pytest.raises(FaithfulError, match=said):
            ask(recipe_of(**stated), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_machines_device_need_not_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for stated in ({"train": {"device": "cuda"}}, {"studies": {"fakes": {"device": "cuda"}}}):
        with pytest.raises(FaithfulError, match="no GPU here"):
            done_steps(recipe_of(**stated), tmp_path)
        assert done_steps(recipe_of(**stated), tmp_path, elsewhere=True) == []
    with pytest.raises(FaithfulError, match="'tpu' is not a device"):
        done_steps(recipe_of(train={"device": "tpu"}), tmp_path, elsewhere=True)


def test_what_is_handed_out_asks_for_the_device_where_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster(Here):
        def check_device(self, name: str | None) -> str:
            return name or "cuda"

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with at(Cluster()):
        assert done_steps(recipe_of(train={"device": "cuda"}, corpora={"own": {"device": "cuda"}}), tmp_path) == []
        with pytest.raises(FaithfulError, match="no GPU here"):
            done_steps(recipe_of(studies={"fakes": {"device": "cuda"}}), tmp_path)


def test_a_recipe_of_which_nothing_was_done_keeps_no_mended_one_out(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(to_toml(recipe_of(seeds="0,1")))
    refuse_other_recipe(recipe_of(), tmp_path)
    write_record(tmp_path / "steps.json", {"corpus own": {"key": "a", "left": "b", "seconds": 1.0}})
    refuse_other_recipe(recipe_of(seeds="0,1"), tmp_path)
    with pytest.raises(FaithfulError, match="is a run of another recipe"):
        refuse_other_recipe(recipe_of(), tmp_path)


PROSE = {"add": "prose"}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {"train": {"k": 4}}, r"\(train.k = \[4\] is new or changed\)"),
        ({"train": {"k": 4}}, {}, r"\(train.k = \[4\] is gone\)"),
        (
            {"corpora": {"own": {"tokens": "20k"}, "web": PROSE}},
            {"corpora": {"own": {}, "web": PROSE | {"tokens": "20k"}}},
            r"\(corpora.web.tokens = 20000 is new or changed\)",
        ),
        ({}, {"corpora": {"own": {}, "hot": {}}}, r"\(\[corpora.hot\] is new or changed\)"),
        (
            {"corpora": {"own": {}, "web": PROSE}},
            {"corpora": {"web": PROSE, "own": {}}},
            r"\(the order of its tables is another\)",
        ),
    ],
)
def test_what_is_other_about_a_recipe_is_told_with_its_table(
    before: dict[str, Any], now: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text(to_toml(recipe_of(**before)))
    write_record(tmp_path / "steps.json", {"corpus own": {"key": "a", "left": "b", "seconds": 1.0}})
    with pytest.raises(FaithfulError, match=said):
        refuse_other_recipe(recipe_of(**now), tmp_path)
