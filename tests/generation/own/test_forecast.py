"""Arithmetic of the forecast, and a dry run that leaves no trace."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.models.presets import presets
from generation.configs.generate import GenerateConfig
from generation.own.dry_run import dry_run
from generation.own.forecast import bytes_on_disk, make_forecast, worker_memory
from generation.own.prepare import stated_sampling
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.writing.splits import held_out_budget

CPU = EngineSettings("transformers", "cpu", threads=1, slots=64, shard_rows=512, deterministic=True)
KV_16_BIT = {
    "gpt2": 36_864,
    "pythia-1.4b": 196_608,
    "pythia-2.8b": 327_680,
    "pythia-6.9b": 524_288,
    "llama-3.2-1b": 32_768,
    "llama-3.1-8b": 131_072,
    "gemma-2-2b": 106_496,
}


@pytest.mark.parametrize("name", KV_16_BIT)
def test_bytes_of_the_key_value_cache(name: str) -> None:
    shape = presets()[name].shape
    assert shape.kv_bytes_per_token(2) == KV_16_BIT[name]
    assert shape.kv_bytes_per_token(4) == 2 * KV_16_BIT[name]


def test_disk_is_in_proportion_and_wider_ids_cost_more() -> None:
    assert bytes_on_disk(2_000_000, 50_257) == 2 * bytes_on_disk(1_000_000, 50_257)
    assert bytes_on_disk(1_000_000, 2**16) == bytes_on_disk(1_000_000, 300)
    assert bytes_on_disk(1_000_000, 2**16 + 1) - bytes_on_disk(1_000_000, 2**16) == 2_000_000


def plan(model: str = "gpt2", sampling: Sampling | None = None, settings: EngineSettings = CPU, **changes: int):  # type: ignore[no-untyped-def]
    values = {"train": 1_000_000, "held_out": 50_000, "workers": 2} | changes
    return make_forecast(
        model=model,
        revision="r",
        dtype="float32",
        shape=presets()[model].shape,
        sampling=sampling or Sampling(max_tokens=127),
        settings=settings,
        **values,
    )


def test_samples_and_shards_cover_the_budget() -> None:
    streams = plan(sampling=Sampling(max_tokens=100, mode="streams"))
    assert streams.samples * 100 >= 1_050_000 > (streams.samples - 2) * 100
    assert (streams.shards - 1) * 512 < streams.samples <= streams.shards * 512
    documents = plan(sampling=Sampling(max_tokens=100))
    assert documents.samples > streams.samples


def test_weights_cache_and_time() -> None:
    base = plan()
    assert base.weight_bytes == 124_439_808 * 4
    assert base.kv_bytes_per_token == 73_728
    assert base.disk_bytes == bytes_on_disk(1_050_000, 50_257)
    assert base.seconds == pytest.approx(1_050_000 / base.tokens_per_second)
    assert plan(workers=4).tokens_per_second == pytest.approx(2 * base.tokens_per_second)
    assert plan(train=2_050_000).seconds == pytest.approx(2 * base.seconds)
    assert base.memory_bytes > base.weight_bytes + 64 * 128 * base.kv_bytes_per_token


def test_the_cache_limits_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of 64 contexts of 512 tokens of pythia-2.8b takes 20 GiB: half of it does not fit twice the weights."""
    shape = presets()["pythia-2.8b"].shape
    weights, context = shape.params * 4, 512 * shape.kv_bytes_per_token(4)
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: round((weights + 10.5 * context) / 0.9))
    limited = plan("pythia-2.8b", Sampling(max_tokens=511), workers=1)
    assert limited.concurrency == 10
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: 10 * (weights + 64 * context))
    assert plan("pythia-2.8b", Sampling(max_tokens=511), workers=1).concurrency == 64
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: 2**30)
    assert plan("pythia-2.8b", Sampling(max_tokens=511), workers=1).concurrency == 1


def test_memory_grows_with_the_batch_and_the_context() -> None:
    shape = presets()["gpt2"].shape
    small = worker_memory(shape, "float32", CPU, 128)
    assert worker_memory(shape, "float32", replace(CPU, slots=128), 128) > small
    assert worker_memory(shape, "float32", CPU, 256) > small
    assert worker_memory(shape, "float16", CPU, 128) < small


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("model", ["pythia-2.8b", "gemma-2-2b", None])
def test_a_dry_run_of_a_preset_says_its_values_and_writes_nothing(
    model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = presets()[model or "tiny"]
    forecast = dry_run(GenerateConfig(model=model, device="cpu"))
    assert (forecast.train_tokens, forecast.test_tokens) == (preset.tokens, held_out_budget(preset.tokens))
    assert forecast.max_tokens == preset.context - 1
    assert forecast.kv_bytes_per_token == preset.shape.kv_bytes_per_token(4)
    assert forecast.folder == f"runs/{preset.name}/corpora/own"
    assert forecast.preset is not None
    assert forecast.preset["d_sae"] == preset.d_sae
    assert everything_below(tmp_path) == []


def test_a_dry_run_of_a_local_model_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family_folder
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    model = family_folder("llama")
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    forecast = dry_run(GenerateConfig(model=str(model), tokens=5000, temperature=0.7, device="cpu"))
    assert (forecast.train_tokens, forecast.max_tokens) == (5000, 127)
    assert forecast.folder.endswith("/own-t0.7")
    assert everything_below(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before


@pytest.mark.parametrize(
    "stated",
    [
        {"temperature": 0.0}, {"top_p": 0.0}, {"mode": "songs"}, {"engine": "magic"}, {"device": "tpu"}, {"batch": 0},
        {"max_tokens": 5000}, {"workers": 0}, {"dtype": "float7"},
    ],
    ids=str,
)  # fmt: skip
def test_a_dry_run_refuses_what_generate_refuses(
    stated: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FaithfulError) as caught:
        dry_run(GenerateConfig(model="gpt2", **stated))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert everything_below(tmp_path) == []


def test_a_dry_run_of_a_preset_refuses_a_folder_that_holds_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "gpt2" / "corpora" / "own"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="not empty"):
        dry_run(GenerateConfig(model="gpt2"))


def test_a_model_that_is_too_large_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: 2**33)
    forecast = dry_run(GenerateConfig(model="pythia-2.8b", device="cpu"))
    assert not forecast.fits
    assert "does not fit" in forecast.note and "--dtype bfloat16" in forecast.note
    shown = CliRunner().invoke(app, ["generate", "--model", "pythia-2.8b", "--device", "cpu", "--dry-run"])
    assert shown.exit_code == 0 and "none: it does not fit" in shown.stdout
    assert dry_run(GenerateConfig(model="pythia-2.8b", device="cpu", dtype="bfloat16")).fits
    assert "fit" not in dry_run(GenerateConfig(model="gpt2", device="cpu")).note


@pytest.mark.parametrize("positions", [0, 128])
def test_a_model_that_states_no_context_has_no_longest_sample(positions: int) -> None:
    assert stated_sampling(GenerateConfig(max_tokens=127), "x/y", positions).max_tokens == 127
    config = GenerateConfig(max_tokens=5000)
    if not positions:
        assert stated_sampling(config, "x/y", positions).max_tokens == 5000
        assert stated_sampling(GenerateConfig(), "x/y", positions).max_tokens == 511
        return
    with pytest.raises(FaithfulError, match="at most 127"):
        stated_sampling(config, "x/y", positions)
