"""What the coordinator tells of the work."""

from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.progress import Progress
from generation.own.coordinator import _tell
from generation.own.schedule import SplitSchedule
from generation.sampling.engine import EngineSettings

ROWS = 8
SEED, DOMAIN = 7, "train"


@pytest.mark.parametrize(
    ("targets", "step"),
    [
        ({"train": 5000, "test": 20_000}, "sampling 5,000 + 20,000 held-out"),
        ({"train": 5000}, "sampling"),
        ({"test": 20_000}, "sampling"),
    ],
    ids=str,
)
def test_progress_says_how_much_of_it_is_held_out(targets: dict[str, int], step: str) -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    points: list[Progress] = []
    _tell(
        [SplitSchedule(split, DOMAIN, SEED, target, settings, [], [], [], 6.0) for split, target in targets.items()],
        [],
        points.append,
    )
    assert points == [Progress(step, 0, sum(targets.values()))]


def test_progress_counts_the_tokens_of_samples_that_are_not_whole_yet() -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    schedule = SplitSchedule("train", DOMAIN, SEED, 100, settings, [], [], [], 6.0)
    points: list[Progress] = []
    for in_flight in (7, 30, 1000):
        crew: list[Any] = [
            SimpleNamespace(in_flight=many, row=lambda now, many=many: {"rate": many}) for many in (in_flight, 1)
        ]
        _tell([schedule], crew, points.append)
    assert [point.done for point in points] == [8, 31, 100], "never more than there is to draw"
    assert [row["rate"] for row in points[0].workers] == [7, 1]
