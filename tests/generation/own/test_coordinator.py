"""What the coordinator tells of the work."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.executor.where import Here, at
from generation.own.coordinator import _tell, draw_all
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


class Worker:
    """One that is told in vain."""

    node = "far"

    def tell(self, kind: str, content: Any = None) -> bool:
        return False


class Dying(Here):
    """A place where every worker dies as soon as it is heard, and another is started."""

    replaces = True

    def __init__(self, how: int | str) -> None:
        self.how, self.alive, self.begun = how, list[Worker](), 0

    def executor(self, name: str) -> Any:
        return nullcontext(self)

    def start(self, *_: object) -> Worker:
        self.begun += 1
        self.alive.append(Worker())
        return self.alive[-1]

    def events(self, seconds: float) -> list[tuple[Worker, str, Any]]:
        dead, self.alive = self.alive, []
        return [(worker, "died", self.how) for worker in dead]


@pytest.mark.parametrize(
    ("how", "said", "begun"),
    [(1, "a fault of its own .exit code 1.", 2), (-9, "last exit code -9", 8), ("its actor died", "last its actor", 8)],
)
def test_a_worker_that_ends_by_its_own_fault_is_not_started_again(how: Any, said: str, begun: int) -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    place: Any = Dying(how)
    nothing: Any = None
    schedule = SplitSchedule("train", DOMAIN, SEED, 100, settings, [], [], [], 6.0)
    with at(place), pytest.raises(FaithfulError, match=said):
        draw_all([schedule], nothing, nothing, settings, 2, nothing, lambda _: None)
    assert place.begun == begun
