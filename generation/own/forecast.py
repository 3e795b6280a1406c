"""What a generation will take, before a weight is loaded: samples, shards, disk, memory, time."""

import math
import os
from dataclasses import asdict, dataclass, replace

from faithful.base.gpus import GPUS, Gpu, forecast_gpu
from faithful.base.memory import available_memory
from faithful.executor.protocol import Share
from faithful.executor.where import current_place
from faithful.models.load import shape_of
from faithful.models.presets import Shape
from faithful.models.spec import ModelSpec
from generation.own.engines import ENGINES
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
DISK_BYTES_PER_TOKEN = 9.0
HELD_BYTES_PER_TOKEN = 90
USABLE_MEMORY = 0.9
CPU_FLOPS_PER_THREAD = 3e10


@dataclass(frozen=True)
class Forecast:
    """A forecast. Times are estimates from bandwidth or FLOPs; the measured rate replaces them once work runs.

    Attributes:
        model, revision, dtype, engine, device: what would run (`device` names the assumed GPU where none is here).
        train_tokens, test_tokens: stored tokens to draw.
        max_tokens: longest sample.
        samples, shards: expected numbers.
        disk_bytes: size of the corpus.
        weight_bytes: the model in memory.
        kv_bytes_per_token: key–value cache per token.
        memory_bytes: per worker: weights, cache at full batch, base; on a CPU the samples in hand.
        concurrency: samples in flight that the cache has room for, per worker, at least one.
        fits: whether the weights and one sample fit into the memory.
        workers: processes.
        tokens_per_second, seconds: estimated.
    """

    model: str
    revision: str
    dtype: str
    engine: str
    device: str
    train_tokens: int
    test_tokens: int
    max_tokens: int
    samples: int
    shards: int
    disk_bytes: int
    weight_bytes: int
    kv_bytes_per_token: int
    memory_bytes: int
    concurrency: int
    fits: bool
    workers: int
    tokens_per_second: float
    seconds: float

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def bytes_on_disk(tokens: int, vocab_size: int) -> int:
    """Parquet bytes of a corpus with log-probabilities and text (measured on `tiny`, rounded up)."""
    return round(tokens * (DISK_BYTES_PER_TOKEN + (2 if vocab_size > 2**16 else 0)))


def default_workers(spec: ModelSpec, settings: EngineSettings, tokens: int, max_tokens: int) -> int:
    """Processes that draw so many tokens of a model; see `worker_count`."""
    per_worker = worker_memory(shape_of(spec), spec.dtype, settings, max_tokens + 1, spec.load)
    return worker_count(settings, per_worker, tokens, max_tokens)


def worker_count(
    settings: EngineSettings, per_worker: int, tokens: int, max_tokens: int, assume: str | None = None
) -> int:
    """One process per GPU, or per so many as one wants; on CPUs one per core, or per so many as it has threads, as far as
    there are shards to share out and, on this machine, as memory goes; at least one."""
    where, each = current_place(), settings.tensor_parallel
    if settings.device == "cuda":
        if assume:
            return 1
        return max(1, where.gpus() // each) if where.is_here else where.count(None, Share("cuda", gpus=each))
    if where.is_here:
        places = min(len(os.sched_getaffinity(0)) // settings.threads, int(0.8 * available_memory() // per_worker))
    else:
        places = where.count(None, Share("cpu", settings.threads))
    return max(1, min(places, math.ceil(tokens / (settings.shard_rows * 0.6 * max_tokens))))


def worker_memory(shape: Shape, dtype: str, settings: EngineSettings, longest: int, load: str | None = None) -> int:
    """Bytes of one worker: weights, key–value buffers (twice the window in our engine), logits, and the libraries; on a CPU
    also the samples of a shard that is drawn and of one that is made."""
    size = BYTES[dtype]
    columns = 2 * longest if settings.name == "transformers" else longest
    cache = shape.row_bytes(size, columns) * settings.slots
    logits = 6 * 4 * settings.slots * shape.vocab
    in_hand = round(2 * 0.6 * settings.shard_rows * longest * HELD_BYTES_PER_TOKEN) if settings.device == "cpu" else 0
    return shape.weight_bytes(size, load) + cache + logits + in_hand + ENGINES[settings.name].base_bytes


def make_forecast(
    *,
    model: str,
    revision: str,
    dtype: str,
    shape: Shape,
    sampling: Sampling,
    settings: EngineSettings,
    train: int,
    held_out: int,
    workers: int | None,
    assume: str | None = None,
    load: str | None = None,
) -> Forecast:
    """Forecast a generation from the model's shape alone, for the GPU here or the one that `assume` names.

    Decoding is memory-bound on a GPU: tokens/s ≤ B · bandwidth / (weight bytes + B · mean length · KV bytes), taken at 60 %.
    On a CPU it is bound by arithmetic: 2 FLOP per parameter and token.
    """
    size = BYTES[dtype]
    weights, kv = shape.weight_bytes(size, load), shape.kv_bytes_per_token(size)
    row = shape.row_bytes(size, sampling.max_tokens + 1)
    mean = sampling.max_tokens if sampling.mode == "streams" else 0.6 * sampling.max_tokens
    samples = round((train + held_out) / mean) + 1
    cuda = settings.device == "cuda"
    cards = settings.tensor_parallel
    memory = cards * device_memory(settings.device, assume)
    gpu = forecast_gpu(assume) if cuda else None
    room = max(0, USABLE_MEMORY * memory - weights)
    concurrency = min(settings.slots, max(1, int(room // max(1, row))))
    per_worker = worker_memory(shape, dtype, replace(settings, slots=concurrency), sampling.max_tokens + 1, load)
    count = workers or worker_count(settings, per_worker, train + held_out, sampling.max_tokens, assume)
    if gpu:
        step_seconds = (weights + concurrency * shape.row_bytes(size, mean / 2)) / (0.6 * cards * gpu.bandwidth)
        rate = count * concurrency / step_seconds
    else:
        rate = count * CPU_FLOPS_PER_THREAD * settings.threads / (2 * shape.params)
    return Forecast(
        model=model,
        revision=revision,
        dtype=f"{dtype}, {load}" if load else dtype,
        engine=settings.name,
        device=_called(gpu) if gpu else "cpu",
        train_tokens=train,
        test_tokens=held_out,
        max_tokens=sampling.max_tokens,
        samples=samples,
        shards=-(-samples // settings.shard_rows),
        disk_bytes=bytes_on_disk(train + held_out, shape.vocab),
        weight_bytes=weights,
        kv_bytes_per_token=kv,
        memory_bytes=per_worker,
        concurrency=concurrency,
        fits=room >= row,
        workers=count,
        tokens_per_second=rate,
        seconds=(train + held_out) / rate,
    )


def device_memory(device: str, assume: str | None = None) -> float:
    """Bytes of memory that a worker can have: free RAM, or those of the GPU here or assumed."""
    return available_memory() if device == "cpu" else forecast_gpu(assume).bytes


def _called(gpu: Gpu) -> str:
    """The name of the GPU here; one that is only assumed says so, with its size."""
    is_assumed = gpu in GPUS.values()
    return (
        f"an assumed {gpu.name} ({gpu.bytes / 1e9:.0f} GB, {gpu.bandwidth / 1e12:.3g} TB/s)" if is_assumed else gpu.name
    )
