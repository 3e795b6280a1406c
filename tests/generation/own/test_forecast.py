"""Arithmetic of the forecast."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from faithful.models.presets import presets
from generation.own.forecast import bytes_on_disk, default_workers, make_forecast, worker_count, worker_memory
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings

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


@pytest.mark.parametrize("cores", [1, 16])
@pytest.mark.parametrize("threads", [1, 8, 64])
def test_a_plan_and_a_run_start_the_same_workers(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    """No more than there are shards, nor threads than cores, and one at least."""
    monkeypatch.setattr("generation.own.forecast.os.sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: 2**42)
    settings, spec = replace(CPU, threads=threads), Mock(dtype="float32", load=None)
    monkeypatch.setattr("generation.own.forecast.shape_of", lambda _: presets()["gpt2"].shape)
    for train in (100_000, 10**8):
        many = plan(settings=settings, train=train, workers=None).workers
        assert many == default_workers(spec, settings, train + 50_000, 127)
        assert many == max(1, min(cores // threads, -(-(train + 50_000) // 39_014)))


@pytest.mark.parametrize("missing", [0, -1, -60_000])
def test_a_cluster_repairs_with_one_worker(monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    cluster: Any = SimpleNamespace(is_here=False, count=lambda workers, share: 8 // share.threads)
    monkeypatch.setattr("generation.own.forecast.current_place", lambda: cluster)
    assert worker_count(CPU, 2**30, missing, 127) == 1
    assert worker_count(replace(CPU, threads=2), 2**30, 10**8, 127) == 4


def test_memory_grows_with_the_batch_and_the_context() -> None:
    shape = presets()["gpt2"].shape
    small = worker_memory(shape, "float32", CPU, 128)
    assert worker_memory(shape, "float32", replace(CPU, slots=128), 128) > small
    assert worker_memory(shape, "float32", CPU, 256) > small
    assert worker_memory(shape, "float16", CPU, 128) < small
