"""What `faithful study interventions` is told, and its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from faithful.base.errors import FaithfulError
from faithful.options.marks import SETTING, Count
from generation.files.local_files import builder_of
from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study

if TYPE_CHECKING:
    from studies.probes.tasks.task import Task

MARK = "Known not to measure quality"
REASONS = (
    f"{MARK}: where features are known (arXiv 2605.18229) TPP scored SAEs worse the longer they were trained, and SCR fell as"
    " the true quality rose. SCR and TPP are here to be held against published figures; no verdict rests on them."
)
TOKENS_PER_TEXT = 64
HINT = "name them as PLACE:TEXT:LABEL:OTHER"


@dataclass(frozen=True)
class InterventionsConfig(StudyConfig):
    """What is told apart, and how much is taken out."""

    COMMAND: ClassVar = "study interventions"

    pair: str | None = None
    """A table with two binary labels, PLACE:TEXT:LABEL:OTHER; default: embedded code, of tests or not, commented or not.

    A text that its rows label differently is left out.
    """
    task: str | None = None
    """A task with three or more classes for TPP, as `study probes` names them; default: the four crossings of the pair."""
    train_size: Annotated[Count, SETTING] = 40
    """Training texts of each crossing of the two labels; twice as many of the two that are alike."""
    test_size: Annotated[Count, SETTING] = 40
    """Test texts of each crossing."""
    latents: Annotated[tuple[int, ...], SETTING] = (2, 5, 10, 20, 50)
    """How many latents are taken out."""


def refuse(config: InterventionsConfig) -> None:
    """Refuse what cannot be done, before anything is read."""
    if not config.latents or min(config.latents) < 1:
        raise FaithfulError("There is no number of latents to take out; give at least one, each at least 1.")
    if config.train_size < 8 or config.test_size < 8:
        raise FaithfulError("train_size and test_size are at least 8 texts of each crossing of the two labels.")
    if config.pair is not None:
        place, _ = table_of(config.pair)
        path = Path(place).expanduser()
        if not path.exists() and (builder_of(path) or "/" not in place):
            raise FaithfulError(f"There is no table {place}; name with --pair a file that is there, or a Hub set.")
    if config.task is not None:
        task = task_of(config.task)
        refuse_few_classes(task, task.labels or None)


def table_of(pair: str) -> tuple[str, list[str]]:
    """The place of a pair's table and its three columns.

    Raises:
        FaithfulError: there are no three columns, or both labels are one.
    """
    place, *columns = pair.split(":")
    if len(columns) != 3 or not all(columns) or columns[1] == columns[2]:
        raise FaithfulError(f"'{pair}' does not name a text and two labels; {HINT}.")
    return place, columns


def task_of(wish: str) -> "Task":
    """The one task that is named for TPP.

    Raises:
        FaithfulError: several are, and what `find_tasks` refuses.
    """
    from studies.probes.tasks.packaged import find_tasks

    tasks = find_tasks(wish)
    if len(tasks) != 1:
        raise FaithfulError(f"'{wish}' stands for {len(tasks)} tasks; name one for TPP.")
    return tasks[0]


def refuse_few_classes(task: "Task", labels: Sequence[str] | None) -> None:
    """Raise FaithfulError for a task of fewer classes than TPP needs; None where they are not known yet."""
    if labels is not None and len(labels) < 3:
        raise FaithfulError(f"{task.name} has {len(labels)} classes and TPP needs three; name another --task.")


def _cost(config: InterventionsConfig, work: Work) -> StudyCost:
    """Every text is read once, and encoded by every SAE and its start."""
    read = 10 * max(config.train_size, config.test_size) * TOKENS_PER_TEXT
    return StudyCost(read, read * (work.forward + 2 * work.encode))


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    return [REASONS]


STUDY = Study(
    name="interventions",
    question="What do SCR and TPP say, which are known not to measure quality?",
    meaning=f"{REASONS} SCR (spurious correlation removal): a probe trained where two labels always agree is asked for one of"
    " them where they do not; the score is the share of its lost accuracy that comes back when latents of the other label are"
    " taken out. TPP (targeted probe perturbation): accuracy that the probe of a class loses when its latents are taken out,"
    " less that the probes of the other classes lose.",
    config=InterventionsConfig,
    cost=_cost,
    shares_out="SAEs",
    check=refuse,
    optional=True,
    captions={"scores": f"{MARK}: SCR (full) and TPP (dashed) over the latents taken out, mean over SAEs"},
    warnings=_warnings,
)
