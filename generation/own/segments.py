"""Segments of a corpus: which engine drew which rows. A new one begins where the engine changes.

A row belongs to the last segment that begins at or before it, unless a later segment names it under `repaired`.
"""

from faithful.executor.protocol import Share
from faithful.executor.where import current_place, refuse_missing_gpus
from faithful.store.corpus import Manifest, Shard
from faithful.store.manifest_parts import EnginePart
from generation.configs.generate import GenerateConfig
from generation.own.prepare import drawing_settings
from generation.sampling.engine import EngineSettings
from generation.writing.identity import check_engine, engine_identity


def settle_engine(config: GenerateConfig, manifest: Manifest) -> tuple[EngineSettings, EnginePart | None]:
    """How to go on drawing, and the engine of the segment that must be opened first (None: go on with the last one).

    Raises:
        FaithfulError: this machine's engine is another one and that was not accepted; no GPU, or too few for the workers;
            no node with the CPUs of one.
    """
    settings = drawing_settings(config, manifest)
    engine = engine_identity(settings, manifest.identity["model"].get("load"))
    last = manifest.segments[-1]["engine"]
    same = check_engine(last, engine, config.accept_engine_change) and engine["slots"] == last["slots"]
    if settings.device == "cuda":
        refuse_missing_gpus(config.workers, settings.tensor_parallel)
    current_place().count(config.workers, Share(settings.device, settings.threads, gpus=settings.tensor_parallel))
    promise_given_up = config.accept_engine_change and len(manifest.segments) == 1 and manifest.rows("train") > 0
    return settings, engine if not same or promise_given_up else None


def open_segment(manifest: Manifest, engine: EnginePart) -> None:
    """Let what is drawn from now on belong to `engine`."""
    manifest.segments.append({"train": manifest.rows("train"), "test": manifest.rows("test"), "engine": engine})


def note_repair(manifest: Manifest, split: str, shard: Shard) -> None:
    """Note that the last segment's engine drew a shard again: rows before the segment's first are named as ranges."""
    segment = manifest.segments[-1]
    first = segment["train"] if split == "train" else segment["test"]
    rows = [shard.first, min(shard.first + shard.rows, first)]
    if rows[0] < rows[1]:
        ranges = segment.setdefault("repaired", {}).setdefault(split, [])
        if rows not in ranges:
            ranges.append(rows)
