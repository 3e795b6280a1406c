"""Parts of a corpus of the embedded model, drawn in this process by the real engine."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from faithful.base.quantities import parse_part
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec
from generation.configs.generate import GenerateConfig
from generation.own.coordinator import Commit
from generation.own.generate import generate
from generation.own.part import PartWish
from generation.own.schedule import SplitSchedule
from generation.own.workers import Range
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Sample
from generation.sampling.transformers_engine import TransformersEngine
from generation.writing.hand import Hand

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
    engine = TransformersEngine(model, spec, sampling, settings.slots)
    draw_with(lambda work: engine.run(iter(work.requests)), schedules, spec, commit)


def draw_with(
    draw: Callable[[Range], Iterable[Sample]], schedules: list[SplitSchedule], spec: ModelSpec, commit: Commit
) -> None:
    """What coordinator and workers do, in turn: a range is drawn, what is whole is made and committed."""
    hand = Hand(spec)
    for schedule in schedules:
        while not schedule.done:
            if work := schedule.next_range():
                hand.begin(work.place, work.number, work.kept)
                samples = list(draw(work))
                for sample in samples:
                    hand.take(work.place, sample)
                schedule.add(work.shard, {sample.index: len(sample.token_ids) for sample in samples})
            while told := schedule.to_make():
                hand.make((schedule.split, told[0]), told[1])
            while hand.making:
                hand.wait(60)
                for (_, shard), made in hand.made():
                    schedule.take(shard, made)
            while whole := schedule.whole():
                commit(schedule.split, *whole)


def config(out: Path, tokens: int = 700, held_out: int = 150, **more: Any) -> GenerateConfig:
    """A corpus of some dozen shards, which is certified on few tokens."""
    told: dict[str, Any] = {"seed": 7, "shard_rows": 6, "batch": 6, "max_tokens": 15, "device": "cpu"}
    return GenerateConfig(tokens=tokens, held_out=held_out, out=out, certify_tokens=300, **told | more)


def make_part(out: Path, part: str, shards: tuple[int, int] | None = None, **more: Any) -> Path:
    """A part of that corpus."""
    return generate(config(out, **more), part=PartWish(parse_part(part), shards)).folder
