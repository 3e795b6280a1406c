"""Recipes are read, refused where they are wrong, changed and written."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.presets import find_preset
from studies.runs.recipe_file import load_recipe, parse_recipe, shipped_recipes, to_toml

PAPER = ["gpt2", "pythia-1.4b", "pythia-2.8b", "gemma-2-2b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"]


def test_the_shipped_recipes_are_those_of_the_paper_and_three_of_ours() -> None:
    assert sorted(shipped_recipes()) == sorted([*PAPER, "demo", "real", "variants"])


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_state_its_values(name: str) -> None:
    recipe = load_recipe(name)
    assert find_preset(recipe.model) is not None and recipe.model == name
    assert len(recipe.seeds) == 6 and {42, 49} <= set(recipe.seeds)
    assert [corpus.name for corpus in recipe.corpora] == ["own", "fineweb", "pile", "flan", "own-like-fineweb"]
    assert list(recipe.studies) == ["corpora", "seeds", "fakes", "reconstruction", "probes"]
    assert not recipe.train, "layer, d_sae, k and lr are the preset's"


@pytest.mark.parametrize("name", [*PAPER, "demo", "real"])
def test_what_is_written_is_what_was_read(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(to_toml(recipe))
    assert load_recipe(path) == recipe


def test_what_is_written_says_what_the_preset_decides() -> None:
    said = "# by the preset gpt2: layer = 8, d_sae = 12288, k = 16, lr = 0.0003, context = 128"
    assert said in to_toml(load_recipe("gpt2")).splitlines()
    wider = to_toml(load_recipe("gpt2", {"train.d_sae": "8192,16384", "train.k": "8"}))
    assert "# by the preset gpt2: layer = 8, lr = 0.0003 × √(12288 / d_sae), context = 128" in wider
    elsewhere = parse_recipe({"model": "a/b", "corpora": {"own": {}}}, "tried")
    assert "#" not in to_toml(elsewhere)


def test_changes_replace_values() -> None:
    recipe = load_recipe(
        "demo", {"train.d_sae": "256,512", "corpora.own.tokens": "20k", "seeds": "0-7", "tokens": "1M"}
    )
    assert recipe.train["d_sae"] == (256, 512)
    assert recipe.corpora[0].options["tokens"] == 20_000
    assert recipe.seeds == tuple(range(8)) and recipe.tokens == 1_000_000


def test_changes_reach_corpora_by_their_names_and_add_none_by_mistake(tmp_path: Path) -> None:
    corpora = {"own": {}, "own-t0.7": {"temperature": 0.7}, "prose": {"add": "prose"}}
    path = tmp_path / "tried.toml"
    path.write_text(to_toml(parse_recipe({"model": "tiny", "corpora": corpora}, "tried")))
    recipe = load_recipe(path, {"corpora.own-t0.7.tokens": "20k", "corpora.prose.train": "false"})
    assert [corpus.options.get("tokens") for corpus in recipe.corpora] == [None, 20_000, None]
    assert [corpus.train for corpus in recipe.corpora] == [True, True, False]
    for typo, near in (("pose", "Did you mean prose"), ("own-t07", r"Did you mean own-t0\.7"), ("zebra", "")):
        with pytest.raises(FaithfulError, match=f"has no corpus '{typo}', but own, own-t0.7, prose; .*{near}"):
            load_recipe(path, {f"corpora.{typo}.tokens": "200k"})
    added = load_recipe(path, {"corpora.web.add": "stdlib", "corpora.web.tokens": "20k"}).plan("web")
    assert (added.how, added.source, added.options) == ("add", "stdlib", {"tokens": 20_000})


@pytest.mark.parametrize("name", ["own-t0.7", "größe", "\U0001f600", "a b", "x_1-y"])
def test_any_corpus_name_is_written_as_toml(name: str, tmp_path: Path) -> None:
    recipe = parse_recipe({"model": "tiny", "corpora": {name: {}}}, "tried")
    path = tmp_path / "tried.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_seeds_are_a_text_or_a_list() -> None:
    corpora: dict[str, Any] = {"own": {}}
    for seeds in ("0-2", [0, 1, 2], ["0", 1, "2"]):
        assert parse_recipe({"model": "tiny", "corpora": corpora, "seeds": seeds}, "tried").seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "names no model"),
        ({"model": "tiny", "corpora": {}}, "trains on no corpus"),
        ({"model": "tiny", "colour": 1, "corpora": {"own": {}}}, "'colour', which is not known"),
        ({"model": "tiny", "corpora": {"own": {"heat": 2}}}, "corpora.own states 'heat'"),
        ({"model": "tiny", "corpora": {"a": {"like": "prose"}}}, "made from 'own', which must stand before"),
        ({"model": "tiny", "corpora": {"own": {"add": "x", "shuffle": "y"}}}, "states add and shuffle"),
        ({"model": "tiny", "corpora": {"own": {}, "m": {"mix": ["own", "web"]}}}, "'m' is made from 'web', which must"),
        ({"model": "tiny", "corpora": {"own": {}, "m": {"mix": 3}}}, "corpora.m.mix cannot be 3; give text"),
        ({"model": "tiny", "corpora": {"own": {}, "d": {"dedup": ["own"]}}}, "corpora.d.dedup cannot be"),
        (
            {"model": "tiny", "corpora": {"own": {"temperature": "hot"}}},
            "corpora.own.temperature cannot be 'hot'; give a number",
        ),
        (
            {"model": "tiny", "corpora": {"own": {"greedy": "no"}}},
            "corpora.own.greedy cannot be 'no'; give true or false",
        ),
        (
            {"model": "tiny", "corpora": {"own": {}}, "train": {"d_sae": [[1]]}},
            "train.d_sae cannot be .*; give a list, each a whole number",
        ),
        ({"model": "tiny", "corpora": {"own": {}}, "train": {"objective": "x"}}, "'objective', which is not known"),
        ({"model": "tiny", "corpora": 3}, "'corpora' is a table and cannot be 3"),
        (
            {"model": "tiny", "corpora": {"own": "3"}},
            "'corpora.own' is a table .* corpora.own.NAME = VALUE",
        ),
        ({"model": "tiny", "corpora": {"own": {}}, "train": "5"}, "'train' is a table .* train.NAME = VALUE"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": ["seeds"]}, "'studies' is a table"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"seeds": 1}}, "'studies.seeds' is a table"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"colours": {}}}, "'colours' is not a study"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"seeds": {"out": "x"}}}, "states 'out'"),
        (
            {"model": "tiny", "corpora": {"own": {}}, "seeds": "many"},
            'no list of whole numbers; write seeds = "0-5" or seeds = "0,1,42"',
        ),
        ({"model": "tiny", "corpora": {"own": {}}, "seeds": True}, "seeds cannot be True; give a list, each a whole"),
        ({"model": "tiny", "corpora": {"own": {}}, "tokens": 0}, "'0' is not a positive whole number"),
        ({"model": "tiny", "corpora": {"own": {"tokens": 0}}}, "'0' is not a positive whole number"),
        ({"model": "tiny", "corpora": {"own": {"tokens": -5}}}, "'-5' is not a positive whole number"),
        ({"model": "tiny", "corpora": {"own": {}}, "studies": {"seeds": {"tokens": 0}}}, "'0' is not a positive"),
        (
            {"model": "tiny", "corpora": {"own": {"train": "no"}}},
            "corpora.own.train cannot be 'no'; give true or false",
        ),
        (
            {"model": "tiny", "corpora": {"own": {}, "web": {"add": "x", "of": "own"}}},
            "'web' states of, which says what",
        ),
        ({"model": "tiny", "corpora": {"own": {"of": "web"}}}, "'own' states of, which says what `like` takes"),
        ({"model": "tiny", "corpora": {"own": {}}, "variants": ["topk"]}, "'variants' is a table"),
        ({"model": "tiny", "corpora": {"own": {}}, "variants": {"aneal": {}}}, "no variant 'aneal'.*mean anneal"),
        ({"model": "tiny", "corpora": {"own": {}}, "variants": {"anneal": {"untl": 1}}}, "`untl`.*mean until"),
        ({"model": "tiny", "corpora": {"own": {}}, "train": {"variant": "anneal"}}, "train states 'variant'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(table: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        parse_recipe(table, "tried")


def test_variants_are_tables_and_a_list_is_a_grid(tmp_path: Path) -> None:
    tables = {"topk": {}, "anneal": {"start": [2, 3.5], "until": 0.5}, "correlation": {"damped": True}}
    recipe = parse_recipe({"model": "tiny", "corpora": {"own": {}}, "variants": tables}, "tried")
    assert recipe.grid == {
        "variant": ("topk", "anneal", "correlation"),
        "settings": ("anneal.start=2,3.5", "anneal.until=0.5", "correlation.damped=True"),
    }
    path = tmp_path / "tried.toml"
    path.write_text(to_toml(recipe))
    assert load_recipe(path) == recipe
    changed = load_recipe(path, {"variants.anneal.start": "2,3.5", "variants.ortsae.weight": "0.5"})
    assert changed.grid["settings"][0] == "anneal.start=2,3.5" and changed.grid["variant"][-1] == "ortsae"
    assert load_recipe("demo").grid == {}


def test_no_such_recipe_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="no recipe 'nothing'"):
        load_recipe("nothing")
    (tmp_path / "bad.toml").write_text("model = ")
    with pytest.raises(FaithfulError, match="is no recipe"):
        load_recipe(tmp_path / "bad.toml")
