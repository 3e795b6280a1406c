"""Parts of a corpus of the embedded model, drawn in this process by the real engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from faithful.base.quantities import parse_part
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from generation.own.part import PartWish
from generation.own.schedule import SplitSchedule
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.sampling.transformers_engine import TransformersEngine

Commit = Callable[[str, int, list[Any]], None]
_models: dict[str, Any] = {}


def draw_here(
    schedules: list[SplitSchedule],
    spec: ModelSpec,
    sampling: Sampling,
    settings: EngineSettings,
    workers: int,
    commit: Commit,
    report: Any,
) -> None:
    """Takes the place of `draw_all`, without processes."""
    model = _models.get(spec.name) or _models.setdefault(spec.name, load_model(spec, "cpu"))
    for schedule in schedules:
        while not schedule.done:
            if work := schedule.next_range():
                engine = TransformersEngine(model, spec, sampling, settings.slots)
                schedule.add(work.shard, sorted(engine.run(iter(work.requests)), key=lambda sample: sample.index))
            while whole := schedule.whole():
                commit(schedule.split, *whole)


def config(out: Path, tokens: int = 700, held_out: int = 150, **more: Any) -> GenerateConfig:
    """A corpus of some dozen shards, which is certified on few tokens."""
    told: dict[str, Any] = {"seed": 7, "shard_rows": 6, "batch": 6, "max_tokens": 15, "device": "cpu"}
    return GenerateConfig(tokens=tokens, held_out=held_out, out=out, certify_tokens=300, **told | more)


def make_part(out: Path, part: str, shards: tuple[int, int] | None = None, **more: Any) -> Path:
    """A part of that corpus."""
    return generate(config(out, **more), part=PartWish(parse_part(part), shards)).folder
