"""What `faithful study interventions` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from faithful.base.errors import FaithfulError
from faithful.options.marks import SETTING, Count
from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study

MARK = "Known not to measure quality"
REASONS = (
    f"{MARK}: where features are known (arXiv 2605.18229) TPP scored SAEs worse the longer they were trained, and SCR fell as"
    " the true quality rose. SCR and TPP are here to be held against published figures; no verdict rests on them."
)
TOKENS_PER_TEXT = 64


@dataclass(frozen=True)
class InterventionsConfig(StudyConfig):
    """What is told apart, and how much is taken out."""

    COMMAND: ClassVar = "study interventions"

    pair: str | None = None
    """A table with two binary labels, PLACE:TEXT:LABEL:OTHER; default: embedded code, of tests or not, commented or not."""
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
