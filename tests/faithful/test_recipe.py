"""Recipes: every shipped one is read, refused where it is wrong, forecast; a run is done once and resumes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faithful.catalog import find_preset
from faithful.cli import app
from faithful.errors import FaithfulError
from faithful.recipe import Step, run_recipe, step_keys, steps_of
from faithful.recipe_config import CorpusPlan, load_recipe, parse_recipe, shipped_recipes, to_toml
from faithful.recipe_cost import costs

Folder = Callable[[str], Path]
PAPER = ["gpt2", "pythia-1.4b", "pythia-2.8b", "gemma-2-2b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"]


def test_the_shipped_recipes_are_those_of_the_paper_and_the_demo() -> None:
    assert sorted(shipped_recipes()) == sorted([*PAPER, "demo"])


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_state_its_values(name: str) -> None:
    recipe = load_recipe(name)
    assert find_preset(recipe.model) is not None and recipe.model == name
    assert len(recipe.seeds) == 6 and {42, 49} <= set(recipe.seeds)
    assert [corpus.name for corpus in recipe.corpora] == ["own", "fineweb", "pile", "flan", "own-like-fineweb"]
    assert list(recipe.studies) == ["corpora", "seeds", "fakes", "reconstruction", "probes"]
    assert not recipe.train, "layer, d_sae, k and lr are the preset's"


@pytest.mark.parametrize("name", [*PAPER, "demo"])
def test_what_is_written_is_what_was_read(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(to_toml(recipe))
    assert load_recipe(path) == recipe


def test_changes_replace_values() -> None:
    recipe = load_recipe(
        "demo", {"train.d_sae": "256,512", "corpora.own.tokens": "20k", "seeds": "0-7", "tokens": "1M"}
    )
    assert recipe.train["d_sae"] == (256, 512)
    assert recipe.corpora[0].options["tokens"] == 20_000
    assert recipe.seeds == tuple(range(8)) and recipe.tokens == 1_000_000


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "names no model"),
        ({"model": "tiny", "corpora": {}}, "trains on no corpus"),
        ({"model": "tiny", "colour": 1, "corpora": {"own": {}}}, "'colour', which is not known"),
        ({"model": "tiny", "corpora": {"own": {"heat": 2}}}, "corpora.own states 'heat'"),
        ({"model": "tiny", "corpora": {"a": {"like": "prose"}}}, "made from 'own', which must stand before"),
        ({"model": "tiny", "corpora": {"own": {"add": "x", "shuffle": "y"}}}, "states add and shuffle"),
        ({"model": "tiny", "corpora": {"own": {"temperature": "hot"}}}, "corpora.own.temperature cannot be 'hot'"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"colours": {}}}, "'colours' is not a study"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"seeds": {"out": "x"}}}, "states 'out'"),
        ({"model": "tiny", "corpora": {"own": {}}, "seeds": "many"}, "no list of whole numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(table: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        parse_recipe(table, "tried")


def test_no_such_recipe_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="no recipe 'nothing'"):
        load_recipe("nothing")
    (tmp_path / "bad.toml").write_text("model = ")
    with pytest.raises(FaithfulError, match="is no recipe"):
        load_recipe(tmp_path / "bad.toml")


def test_steps_come_in_order_and_their_keys_follow_their_needs(tmp_path: Path) -> None:
    recipe = load_recipe("demo")
    steps = steps_of(recipe, tmp_path / "a", "cpu")
    names = [step.name for step in steps]
    assert names[:4] == ["corpus own", "corpus stdlib", "corpus prose", "train"] and names[-1] == "report"
    for place, step in enumerate(steps):
        assert set(step.needs) <= set(names[:place])
    keys = step_keys(steps, tmp_path / "a")
    assert keys == step_keys(steps_of(recipe, tmp_path / "b", "cpu"), tmp_path / "b"), "wherever the run lies"
    wider = replace(recipe, train=recipe.train | {"d_sae": (256,)})
    changed = step_keys(steps_of(wider, tmp_path / "a", "cpu"), tmp_path / "a")
    assert {name for name in names if keys[name] != changed[name]} == {
        "train", "study seeds", "study fakes", "study reconstruction", "study probes", "report",
    }  # fmt: skip


def test_a_run_does_what_is_missing_and_refuses_another_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps that only leave a file, one of which fails once."""
    called: list[str] = []

    def steps(recipe: Any, folder: Path, device: str | None) -> list[Step]:
        def call(config: str, _: Any) -> None:
            called.append(config)
            if config == "two" and called.count("two") == 1:
                raise FaithfulError("the disk is full")
            (folder / config).write_text(config)

        return [Step(name, (), name, call, folder / name) for name in ("one", "two", "three")]

    monkeypatch.setattr("faithful.recipe.steps_of", steps)
    recipe = parse_recipe({"model": "tiny", "corpora": {"own": {}}}, "tried")
    folder = tmp_path / "runs" / "tried"
    with pytest.raises(FaithfulError, match="disk is full"):
        run_recipe(recipe, folder)
    result = run_recipe(recipe, folder)
    assert called == ["one", "two", "two", "three"]
    assert result.skipped == ["one"] and list(result.done) == ["two", "three"]
    again = run_recipe(recipe, folder)
    assert not again.done and again.skipped == ["one", "two", "three"]
    (folder / "two").unlink()
    assert list(run_recipe(recipe, folder).done) == ["two"]
    with pytest.raises(FaithfulError, match="another recipe"):
        run_recipe(replace(recipe, corpora=(CorpusPlan("own", "generate", options={"temperature": 0.7}),)), folder)


@pytest.mark.parametrize("name", [*PAPER, "demo"])
def test_every_step_has_a_cost(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    found = costs(recipe, tmp_path, "cpu")
    assert [one.step for one in found] == [step.name for step in steps_of(recipe, tmp_path, "cpu")]
    assert all(one.seconds > 0 for one in found)
    by_step = {one.step: one for one in found}
    assert by_step["train"].flops > by_step["study fakes"].flops > 0
    assert not list(tmp_path.iterdir())


def test_dry_run_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "pythia-2.8b", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["steps"]) == 12
    assert not list(tmp_path.iterdir())
    wrong = CliRunner().invoke(app, ["run", "pythia-2.8b", "--set", "train.colour=1", "--dry-run"])
    assert wrong.exit_code == 2 and "not known" in wrong.output
