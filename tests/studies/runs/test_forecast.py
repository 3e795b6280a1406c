"""The forecast of a recipe reads what its studies read."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.presets import DEFAULT_TOKENS, find_preset, tiny_path
from studies.runs.forecast import costs
from studies.runs.recipe_file import load_recipe, parse_recipe


@pytest.fixture
def tiny_copy(tmp_path: Path) -> str:
    """The embedded model as somebody's folder, which no preset knows."""
    return str(shutil.copytree(tiny_path(), tmp_path / "mine"))


def tokens_of(step: str, folder: Path, device: str, **changes: Any) -> int:
    found = costs(load_recipe("gpt2", changes), folder, device)
    return next(one.tokens for one in found if one.step == f"study {step}")


@pytest.mark.parametrize(("device", "panel", "noise"), [("cpu", 30_000, 127_000), ("cuda", 200_000, 1_000_000)])
def test_fakes_read_the_panel_nine_times_and_the_noise_three_times(
    device: str, panel: int, noise: int, tmp_path: Path
) -> None:
    assert tokens_of("fakes", tmp_path, device) == 9 * panel + 3 * noise
    assert tokens_of("fakes", tmp_path, device, **{"studies.fakes.noise_tokens": "1k"}) == 9 * panel + 3_000


@pytest.mark.parametrize(("device", "texts", "panel"), [("cpu", 656, 30_000), ("cuda", 4_000, 200_000)])
def test_probes_read_the_examples_of_every_task_and_for_their_starts_the_panel(
    device: str, texts: int, panel: int, tmp_path: Path
) -> None:
    assert tokens_of("probes", tmp_path, device) == 4 * texts * 128 + panel
    assert tokens_of("probes", tmp_path, device, **{"studies.probes.controls": "0"}) == 4 * texts * 128
    changes = {
        "studies.probes.train_size": "100",
        "studies.probes.test_size": "50",
        "studies.probes.tasks": "sst2,cola",
    }
    assert tokens_of("probes", tmp_path, device, **changes) == 2 * 150 * 128 + panel


def test_the_seed_study_trains_on_gaussian_activations_too(tmp_path: Path) -> None:
    def flops(**changes: Any) -> float:
        found = costs(load_recipe("gpt2", changes), tmp_path, "cuda")
        return next(one.flops for one in found if one.step == "study seeds")

    without, two, four = (flops(**{"studies.seeds.gaussian_seeds": str(seeds)}) for seeds in (0, 2, 4))
    assert flops() == two > without and four - without == pytest.approx(2 * (two - without))
    assert without < flops(**{"studies.seeds.gaussian_steps": "100"}) < two


def seconds_of(step: str, folder: Path, name: str = "gpt2", device: str = "cuda", **changes: Any) -> float:
    found = costs(load_recipe(name, changes), folder, device)
    return next(one.seconds for one in found if one.step == f"study {step}")


def test_matchings_are_solved_on_the_cpu_on_any_device(tmp_path: Path) -> None:
    """375 pairs of SAEs, three assignments each, about 10 s each at 18,432²: hours, whatever the GPU."""
    assert 11_000 < seconds_of("seeds", tmp_path, "gemma-2-2b") < 20_000
    alone: dict[str, Any] = {"studies.seeds.gaussian_seeds": "0"}
    once = seconds_of("seeds", tmp_path, **alone)
    assert seconds_of("seeds", tmp_path, **alone, **{"train.d_sae": "24576"}) == pytest.approx(4 * once, rel=0.1)
    assert seconds_of("seeds", tmp_path, **alone, seeds="0-11") == pytest.approx(132 / 30 * once, rel=0.1)
    assert 0.9 * once < seconds_of("seeds", tmp_path, device="cpu", **alone)


def test_probes_are_fitted_on_the_cpu_on_any_device(tmp_path: Path) -> None:
    """30 SAEs on four tasks of 2,000 examples, seconds each."""
    once = seconds_of("probes", tmp_path)
    assert 100 < once < 3600
    assert seconds_of("probes", tmp_path, **{"studies.probes.tasks": "sst2,cola"}) == pytest.approx(once / 2, rel=0.1)
    assert seconds_of("probes", tmp_path, **{"studies.probes.train_size": "8k"}) == pytest.approx(4 * once, rel=0.2)
    alone: dict[str, Any] = {"studies.probes.controls": "0"}
    of_all = seconds_of("probes", tmp_path, **alone)
    assert of_all < once, "the untrained starts are fitted too"
    assert seconds_of("probes", tmp_path, seeds="0-2", **alone) == pytest.approx(of_all / 2, rel=0.1)


def test_the_demo_is_forecast_in_minutes(tmp_path: Path) -> None:
    found = costs(load_recipe("demo"), tmp_path, "cpu")
    assert 30 < sum(one.seconds for one in found) < 1800


def test_of_a_corpus_that_is_there_in_part_the_rest_is_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = costs(load_recipe("demo"), tmp_path, "cpu")[0]
    there = SimpleNamespace(existing_tokens=whole.tokens // 4, seconds=3.0, memory_bytes=5, disk_bytes=7)
    monkeypatch.setattr("studies.runs.forecast.dry_run", lambda config, assume: there)
    rest = costs(load_recipe("demo"), tmp_path, "cpu")[0]
    assert (rest.step, rest.tokens, rest.seconds) == ("corpus own", 3 * whole.tokens // 4, 3.0)
    assert (rest.memory, rest.disk) == (5, 7)
    assert rest.flops == pytest.approx(0.75 * whole.flops)


def test_a_gpu_that_is_not_here_is_assumed(tmp_path: Path) -> None:
    """The same work, faster on a faster card, and what it takes of memory and disk."""
    recipe = load_recipe("pythia-2.8b")
    slow, fast = (costs(recipe, tmp_path, assume=card) for card in ("4090", "h200"))
    assert [one.step for one in slow] == [one.step for one in fast]
    assert [one.flops for one in slow] == [one.flops for one in fast]
    for name in ("corpus own", "train"):
        by_card = [next(one for one in found if one.step == name) for found in (slow, fast)]
        assert by_card[0].seconds > 2 * by_card[1].seconds
        assert by_card[1].memory > 2 * 2.8e9 and by_card[1].disk > 1e9
    with pytest.raises(FaithfulError, match=r"'h20' is no GPU that forecasts know.*Did you mean h200\?"):
        costs(recipe, tmp_path, assume="h20")


def test_every_variant_of_a_grid_is_counted(tmp_path: Path) -> None:
    def step(name: str, **changes: Any) -> Any:
        return next(one for one in costs(load_recipe("gpt2", changes), tmp_path, "cpu") if one.step == name)

    three: dict[str, Any] = {"variants.topk": {}, "variants.anneal.start": [2, 3]}
    assert step("train", **three).disk == 3 * step("train").disk
    assert step("train").flops < step("train", **three).flops < 3 * step("train").flops
    assert step("study fakes").flops < step("study fakes", **three).flops
    more, fewer = (step("train", **{"train.eval_tokens": count}).flops for count in ("20k", "10k"))
    none = 2 * fewer - more
    assert more == step("train").flops and 0 < none < fewer < more, "20k held-out tokens are evaluated on by default"


def train_of(folder: Path, table: dict[str, Any]) -> int:
    recipe = parse_recipe({"corpora": {"own": {}, "web": {"add": "prose"}}} | table, "tried")
    return next(one.tokens for one in costs(recipe, folder, "cpu") if one.step == "train")


def test_training_reads_what_training_would_read(tmp_path: Path, tiny_copy: str) -> None:
    """Two corpora: one pass over the smallest, at most what is stated; so many passes where they are stated."""
    for model, default in (("gpt2", find_preset("gpt2").tokens), (tiny_copy, DEFAULT_TOKENS)):  # type: ignore[union-attr]
        assert train_of(tmp_path, {"model": model}) == 2 * default
        assert train_of(tmp_path, {"model": model, "train": {"epochs": 3}}) == 2 * 3 * default
        stated = {"model": model, "tokens": "20k"}
        assert train_of(tmp_path, stated) == 40_000
        assert train_of(tmp_path, stated | {"train": {"tokens": "5k"}}) == 10_000
        more = {"corpora": {"own": {"tokens": "90k"}, "web": {"add": "prose", "tokens": "60k"}}}
        assert train_of(tmp_path, stated | more) == 40_000
        assert train_of(tmp_path, stated | more | {"train": {"epochs": 1.5}}) == 2 * 90_000


def test_sampling_is_counted_for_any_model(tmp_path: Path, tiny_copy: str) -> None:
    table = {"tokens": "20k", "corpora": {"own": {}}}
    named, local = (
        costs(parse_recipe(table | {"model": model}, "tried"), tmp_path / "run", "cpu")[0].flops
        for model in ("tiny", tiny_copy)
    )
    assert local == pytest.approx(named, rel=0.01) and named > 0
