"""Recipes become steps and are forecast; a run is done once and resumes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.store.corpus import Document, Manifest, read_manifest, to_table, write_manifest
from faithful.store.places import read_steps
from faithful.store.saes import read_grid
from faithful.store.shard_files import write_shard
from faithful.training.config import TrainConfig
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.configs.generate import GenerateConfig
from generation.derived.dedup import dedup
from generation.derived.mix import mix
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows
from studies.runs.forecast import costs
from studies.runs.recipe import Step, _plain, done_steps, run_recipe, step_keys, steps_of
from studies.runs.recipe_file import CorpusPlan, load_recipe, parse_recipe, to_toml

Folder = Callable[[str], Path]
PAPER = ["gpt2", "pythia-1.4b", "pythia-2.8b", "gemma-2-2b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"]


DERIVED: dict[str, Any] = {
    "own": {},
    "web": {"add": "stdlib", "train": False},
    "both": {"mix": ["own", "web"], "weights": [3, 1], "tokens": "40k"},
    "once": {"dedup": "both", "near": True},
    "bag": {"shuffle": "once", "seed": 2},
    "cut": {"like": "web", "of": "both"},
}


def test_corpora_made_of_corpora_are_read_written_and_become_steps(tmp_path: Path) -> None:
    recipe = parse_recipe({"model": "tiny", "tokens": "20k", "corpora": DERIVED}, "tried")
    path = tmp_path / "tried.toml"
    path.write_text(to_toml(recipe))
    assert load_recipe(path) == recipe
    typed = parse_recipe({"model": "tiny", "corpora": DERIVED | {"both": {"mix": "own, web"}}}, "tried")
    assert typed.corpora[2].inputs == ("own", "web")
    made = {step.name.removeprefix("corpus "): step for step in steps_of(recipe, tmp_path, "cpu")}
    own, web, both = (tmp_path / "corpora" / name for name in ("own", "web", "both"))
    assert made["both"].needs == ("corpus own", "corpus web")
    assert made["both"].config == MixConfig((own, web), (3.0, 1.0), 40_000, both)
    assert made["once"].config == DedupConfig(both, near=True, out=tmp_path / "corpora" / "once")
    assert made["bag"].config == ShuffleConfig(tmp_path / "corpora" / "once", 2, tmp_path / "corpora" / "bag")
    assert made["cut"].config == SubsampleConfig(both, 20_000, web, out=tmp_path / "corpora" / "cut")
    assert [made[name].call for name in ("both", "once", "bag", "cut")] == [mix, dedup, shuffle, subsample]
    forecast = {cost.step: cost for cost in costs(recipe, tmp_path, "cpu")}
    assert [forecast[f"corpus {name}"].tokens for name in ("both", "once", "cut")] == [40_000, 40_000, 20_000]


def test_a_mix_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for both, said in (
        ({"mix": ["own"]}, "two corpora or more"),
        ({"mix": ["own", "web"], "weights": [1]}, "2 corpora and 1 weights"),
        ({"mix": ["own", "web"], "weights": [1, 0]}, "above 0"),
    ):
        recipe = parse_recipe({"model": "tiny", "corpora": DERIVED | {"both": both}}, "tried")
        with pytest.raises(FaithfulError, match=said):
            run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_corpus_that_holds_less_than_is_made_of_it_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for corpora, train, said in (
        (
            {"own": {"tokens": "20k"}},
            {},
            "'own' is to hold 20,000 tokens at most, and SAEs are to be trained on 40,000",
        ),
        ({"own": {}}, {"tokens": "50k"}, "'own' is to hold 40,000 .* trained on 50,000"),
        ({"own": {"tokens": "20k", "train": False}, "once": {"dedup": "own"}}, {}, "'once' is to hold 20,000"),
        (
            {"own": {}, "web": {"add": "prose"}, "cut": {"like": "web", "tokens": "90k"}},
            {},
            "'own' .* cut is to take 90,0",
        ),
    ):
        recipe = parse_recipe({"model": "tiny", "tokens": "40k", "corpora": corpora, "train": train}, "tried")
        for ask in (run_recipe, done_steps):
            with pytest.raises(FaithfulError, match=said):
                ask(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    passes = parse_recipe({"model": "tiny", "tokens": "40k", "corpora": {"own": {}}, "train": {"epochs": 2}}, "tried")
    wish = next(step.config for step in steps_of(passes, tmp_path) if step.name == "train")
    assert (wish.tokens, wish.epochs) == (None, 2.0), "train takes one of both"
    assert next(one.tokens for one in costs(passes, tmp_path, "cpu") if one.step == "train") == 80_000


def test_without_duplicates_all_are_trained_on_what_is_left(tmp_path: Path) -> None:
    novel = next(iter(Rows(resolve_source("prose"), 0))).text
    pieces = [piece for piece in novel.split("\n\n") if len(piece) > 200][:60]
    source = tmp_path / "twice.jsonl"
    source.write_text("".join(json.dumps({"text": piece}) + "\n" for piece in pieces for _ in "ab"))
    corpora = {
        "twice": {"add": str(source), "train": False},
        "once": {"dedup": "twice"},
        "both": {"mix": ["once", "prose"]},
        "prose": {"add": "prose"},
    }
    table = {"model": "tiny", "tokens": "5k", "seeds": "0", "train": {"d_sae": 64, "k": 4, "eval_tokens": "1k"}}
    order = ["twice", "once", "prose", "both"]
    recipe = parse_recipe(table | {"corpora": {name: corpora[name] for name in order}}, "tried")
    notes: list[str] = []
    run_recipe(recipe, tmp_path / "run", lambda point: notes.append(point.note), "cpu")
    held = {name: read_manifest(tmp_path / "run" / "corpora" / name).tokens() for name in order}
    assert held["once"] < 5_000 <= held["twice"]
    least = min(held["once"], held["both"])
    assert [note for note in notes if f"all SAEs are trained on {least:,} tokens each" in note]
    trained = read_grid(tmp_path / "run" / "saes")
    assert {sae.corpus for sae in trained} == {"once", "both", "prose"}
    assert len({sae.identity["tokens"] for sae in trained}) == 1
    assert 0.9 * least < trained[0].identity["tokens"] <= least
    assert not run_recipe(recipe, tmp_path / "run", device="cpu").done


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
    with pytest.raises(FaithfulError, match="'foo' is not a device"):
        done_steps(replace(recipe, studies={"fakes": {"device": "foo"}}), tmp_path / "a", "cpu")
    stated = steps_of(replace(recipe, train=recipe.train | {"device": "cpu"}), tmp_path / "a")
    assert [getattr(step.config, "device", None) for step in stated if step.name in ("train", "corpus own")] == [
        None,
        "cpu",
    ]
    changed = step_keys(steps_of(wider, tmp_path / "a", "cpu"), tmp_path / "a")
    assert {name for name in names if keys[name] != changed[name]} == {
        "train", "study seeds", "study fakes", "study reconstruction", "study probes", "report",
    }  # fmt: skip


def test_a_study_comes_after_those_that_it_reads_wherever_the_recipe_names_it(tmp_path: Path) -> None:
    recipe = replace(load_recipe("demo"), studies={"probes": {}, "reconstruction": {}, "seeds": {}})
    steps = {step.name: step for step in steps_of(recipe, tmp_path, "cpu")}
    names = list(steps)
    assert names.index("study seeds") < names.index("study probes")
    assert "study seeds" in steps["study probes"].needs and "study seeds" not in steps["study reconstruction"].needs


def test_a_run_does_what_is_missing_and_refuses_another_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps that leave a file each, one of which fails once; three needs two."""
    called: list[str] = []

    def steps(recipe: Any, folder: Path, device: str | None) -> list[Step]:
        def call(config: str, _: Any) -> None:
            called.append(config)
            if config == "two" and called.count("two") == 1:
                raise FaithfulError("the disk is full")
            (folder / config).write_text(config)

        def step(name: str, *needs: str) -> Step:
            path = folder / name
            return Step(name, needs, name, call, lambda: path.read_text() if path.exists() else None)

        return [step("one"), step("two"), step("three", "two"), step("report", "three")]

    monkeypatch.setattr("studies.runs.recipe.steps_of", steps)
    recipe = parse_recipe({"model": "tiny", "corpora": {"own": {}}}, "tried")
    folder = tmp_path / "runs" / "tried"
    assert done_steps(recipe, folder) == [] and not folder.exists()
    with pytest.raises(FaithfulError, match="disk is full"):
        run_recipe(recipe, folder)
    assert done_steps(recipe, folder) == ["one"]
    result = run_recipe(recipe, folder)
    assert called == ["one", "two", "two", "three", "report"]
    assert done_steps(recipe, folder) == ["one", "two", "three", "report"]
    assert result.skipped == ["one"] and list(result.done) == ["two", "three", "report"]
    again = run_recipe(recipe, folder)
    assert not again.done and again.skipped == ["one", "two", "three", "report"]
    (folder / "two").unlink()
    assert done_steps(recipe, folder) == ["one"], "what needs two may have to be done again"
    assert list(run_recipe(recipe, folder).done) == ["two", "report"], "what it leaves is what it was, so three holds"
    (folder / "three").write_text("something else")
    assert list(run_recipe(recipe, folder).done) == ["three", "report"]
    written = folder / "recipe.toml"
    written.write_text("# a comment\n" + written.read_text())
    assert not run_recipe(recipe, folder).done, "comments are no part of a recipe"
    other = replace(recipe, seeds=(0, 1))
    for ask in (run_recipe, done_steps):
        with pytest.raises(FaithfulError, match="another recipe"):
            ask(other, folder)
    with pytest.raises(FaithfulError, match="another recipe"):
        run_recipe(replace(recipe, corpora=(CorpusPlan("own", "generate", options={"temperature": 0.7}),)), folder)


def test_what_is_worked_on_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ["first"]

    def steps(recipe: Any, folder: Path, device: str | None) -> list[Step]:
        corpus = Step("corpus", (), None, lambda config, _: None, lambda: made[0])
        return [corpus, Step("train", ("corpus",), None, lambda config, _: None, lambda: "the same")]

    monkeypatch.setattr("studies.runs.recipe.steps_of", steps)
    recipe = parse_recipe({"model": "tiny", "corpora": {"own": {}}}, "tried")
    assert list(run_recipe(recipe, tmp_path).done) == ["corpus", "train"]
    assert not run_recipe(recipe, tmp_path).done
    made[0] = "second"
    assert list(run_recipe(recipe, tmp_path).done) == ["corpus", "train"]


def test_what_is_missing_of_a_corpus_is_noticed(tmp_path: Path) -> None:
    left = left_of("corpus own", tmp_path)
    assert left() is None
    folder = tmp_path / "corpora" / "own"

    def write(identity: dict[str, Any]) -> Path:
        shard = write_shard(folder, "train", 0, to_table([Document(0, 0, [1, 2], "stop")], ["ab"], 64), {})
        manifest = Manifest("own", "own", identity, {}, {"train": 2, "test": 0})
        manifest.shards["train"] = [shard]
        write_manifest(folder, manifest)
        return folder / shard.file

    data = write({"seed": 0})
    before = left()
    write({"seed": 0})
    assert before is not None and left() == before
    data.write_bytes(data.read_bytes()[:-1])
    assert left() is None
    write({"seed": 1})
    assert left() not in (None, before)


def test_what_is_missing_of_a_grid_is_noticed(tmp_path: Path) -> None:
    left = left_of("train", tmp_path)
    assert left() is None

    def write(seed: int, seconds: float = 1.0, fvu: float = 0.5) -> Path:
        folder = tmp_path / "saes" / "own" / "resid_pre.3-f8-k2" / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        record = {"identity": {"init_seed": seed}, "evaluation": {"fvu": fvu}, "seconds": seconds}
        (folder / "cfg.json").write_text(json.dumps({"metadata": {"faithful": record}}))
        (folder / "sae_weights.safetensors").write_text("weights")
        return folder

    one, _ = write(0), write(1)
    before = left()
    write(1, seconds=2.0)
    assert before is not None and left() == before, "how long it took decides nothing"
    write(1, fvu=0.6)
    assert left() not in (None, before)
    write(1)
    shutil.rmtree(one)
    assert left() not in (None, before)
    write(0)
    assert left() == before
    (one / "sae_weights.safetensors").unlink()
    assert left() is None


def test_what_is_missing_of_a_study_is_noticed(tmp_path: Path) -> None:
    left = left_of("study seeds", tmp_path)
    assert left() is None
    folder = tmp_path / "studies" / "seeds"
    folder.mkdir(parents=True)
    (folder / "results.parquet").write_text("rows")
    (folder / "summary.json").write_text(json.dumps({"corpora": {"own": 1}, "reused": 0}))
    before = left()
    (folder / "summary.json").write_text(json.dumps({"corpora": {"own": 1}, "reused": 135}))
    assert before is not None and left() == before, "what came from a cache is the same"
    (folder / "summary.json").write_text(json.dumps({"corpora": {"own": 2}, "reused": 135}))
    assert left() not in (None, before)
    (folder / "results.parquet").unlink()
    assert left() is None


def left_of(name: str, folder: Path) -> Callable[[], str | None]:
    """What tells whether a step of the demo holds."""
    return next(step.output_digest for step in steps_of(load_recipe("demo"), folder, "cpu") if step.name == name)


@pytest.mark.parametrize("name", [*PAPER, "demo"])
def test_every_step_has_a_cost(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    found = costs(recipe, tmp_path, "cpu")
    assert [one.step for one in found] == [step.name for step in steps_of(recipe, tmp_path, "cpu")]
    assert all(one.seconds > 0 for one in found)
    by_step = {one.step: one for one in found}
    assert by_step["train"].flops > by_step["study fakes"].flops > 0
    assert not list(tmp_path.iterdir())


def test_a_card_that_cannot_be_written_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.runs.recipe.train", lambda config, report: SimpleNamespace(out=tmp_path / "no SAEs"))
    step = next(step for step in steps_of(load_recipe("demo"), tmp_path) if step.name == "train")
    notes: list[str] = []
    step.call(step.config, lambda point: notes.append(point.note))
    assert len(notes) == 1 and notes[0].startswith("No card was written: ")


def test_steps_told_before_models_could_be_loaded_otherwise_are_the_same_now() -> None:
    """A record without `load` is one of the model as it is; how a model is spread over GPUs decides no figure."""
    for config in (GenerateConfig(), TrainConfig((Path("a"),), Path("b"), shard_model=True)):
        assert not _plain(config, Path("run")).keys() & {"load", "shard_model", "workers"}
    assert _plain(GenerateConfig(load="4bit"), Path("run"))["load"] == "4bit"


def test_what_is_done_again_and_killed_is_unfinished_and_nothing_else_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = dict.fromkeys(("one", "two", "three", "report"), "first")
    killed: list[str] = []

    def steps(recipe: Any, folder: Path, device: str | None) -> list[Step]:
        def call(config: tuple[str, str], _: Any) -> None:
            if config[0] in killed:
                raise KeyboardInterrupt
            (folder / config[0]).write_text(config[1])

        def step(name: str, *needs: str) -> Step:
            path = folder / name
            return Step(name, needs, (name, told[name]), call, lambda: path.read_text() if path.exists() else None)

        return [step("one"), step("two"), step("three", "two"), step("report", "one", "two", "three")]

    monkeypatch.setattr("studies.runs.recipe.steps_of", steps)
    recipe = parse_recipe({"model": "tiny", "corpora": {"own": {}}}, "tried")
    run_recipe(recipe, tmp_path)
    for name, kept in (("two", ["one", "three"]), ("three", ["one", "two"]), ("report", ["one", "two", "three"])):
        told[name] = f"second {name}"
        killed[:] = [name]
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, tmp_path)
        assert list(read_steps(tmp_path)) == kept
        assert name not in done_steps(recipe, tmp_path)
        killed.clear()
        done = run_recipe(recipe, tmp_path).done
        assert name in done and "one" not in done
        assert read_steps(tmp_path).keys() == told.keys()
