"""What `faithful study unlearning` is told, and its record."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.base.errors import FaithfulError
from faithful.options.marks import SETTING, Count
from generation.files.local_files import builder_of
from studies.common.config import PanelConfig
from studies.common.forecast import Size, StudyCost, Work, by_device, panel_tokens
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording

EMBEDDED = ("stdlib", "prose")
"""Sets of questions that need no network: which word continues a passage of the embedded text."""
HUB = {"wmdp": "cais/wmdp", "mmlu": "cais/mmlu"}
TOKENS_PER_QUESTION = 48
LEAST = 8
"""Questions of a side, so that either half tells something."""


@dataclass(frozen=True)
class UnlearningConfig(PanelConfig):
    """What to forget, and what to keep."""

    COMMAND: ClassVar = "study unlearning"

    forget: str | None = None
    """Corpus of the panel whose knowledge is to go; default stdlib where the panel has it."""
    retain: str | None = None
    """Corpus of the panel whose knowledge is to stay; default prose where the panel has it."""
    forget_questions: str | None = None
    """wmdp-bio, wmdp-cyber, wmdp-chem, mmlu:SUBJECT, stdlib, prose, a corpus, or a file with question, choices, answer.

    Default: the corpus, of whose held-out passages is asked which word continues them (stdlib, prose: of the embedded text).
    """
    retain_questions: str | None = None
    """The same of what is to stay."""
    questions: Annotated[Count | None, SETTING] = None
    """Questions of each side, at most; default 96 on a CPU, 1000 on a GPU."""
    answers: Annotated[str, SETTING] = "text"
    """text: the choice with the highest mean log-probability per token; letters: choices are listed, their letter answers."""
    thresholds: Annotated[tuple[float, ...], SETTING] = (0.001, 0.01)
    """Latents that fire on more of the retain text than this are left alone."""
    latents: Annotated[tuple[int, ...], SETTING] = (10, 20)
    """How many latents are clamped."""
    multipliers: Annotated[tuple[float, ...], SETTING] = (1.0, 4.0, 16.0)
    """What they are clamped to where they fire: minus so many times their mean activation on the forget text."""
    allowed: Annotated[float, SETTING] = 0.01
    """Share of the retain accuracy that a setting may lose on the half that it is chosen on."""


def question_count(device: str, context: int) -> int:
    """Questions of each side."""
    return by_device(96, 1000)(device, context)


def _cost(config: UnlearningConfig, work: Work) -> StudyCost:
    """The panel is encoded, and every question is answered once per setting and for the controls."""
    panel = config.tokens or panel_tokens(work.device, work.context)
    asked = 2 * (config.questions or question_count(work.device, work.context)) * TOKENS_PER_QUESTION
    settings = len(config.thresholds) * len(config.latents) * len(config.multipliers)
    settings = 2 * settings + 4  # of the SAE and of its untrained start
    read = panel + asked * settings * work.saes
    return StudyCost(read, panel * (work.forward + work.encode) + asked * settings * work.saes * work.full)


def refuse(config: UnlearningConfig) -> None:
    """Refuse what cannot be asked, before anything is read."""
    if config.forget is not None and config.forget == config.retain:
        raise FaithfulError(f"--forget and --retain are both {config.forget}; name two corpora.")
    named = config.forget_questions, config.retain_questions
    if named[0] is not None and named[0] == named[1]:
        raise FaithfulError(f"The questions of both sides are {named[0]}; name two sets of questions.")
    for place in named:
        if place is not None and hub_set(place) is None and builder_of(Path(place)) and not _is_here(place):
            raise FaithfulError(f"There is no file {place} with questions; see --forget-questions.")
    if config.answers not in ("text", "letters"):
        raise FaithfulError(f"'{config.answers}' is no way to answer; choose text or letters.")
    if config.questions is not None and config.questions < LEAST:
        raise FaithfulError(f"--questions {config.questions} are too few of each side; ask at least {LEAST}.")
    if not 0 <= config.allowed <= 1:
        raise FaithfulError(f"--allowed {config.allowed:g} is no share of the retain accuracy; give one from 0 to 1.")
    odd = [share for share in config.thresholds if not 0 < share <= 1]
    odd += [count for count in config.latents if count < 1]
    odd += [many for many in config.multipliers if not 0 <= many < math.inf]
    if odd or not (config.thresholds and config.latents and config.multipliers):
        raise FaithfulError(
            f"There is no setting to clamp with{f' in {odd[0]:g}' if odd else ''}; thresholds are shares above 0, latents at"
            " least 1 and multipliers at least 0, and of each there is at least one."
        )


def hub_set(place: str) -> tuple[str, str] | None:
    """The Hub id and the config of `wmdp-bio` and its like and of `mmlu:SUBJECT`; None of any other place.

    Raises:
        FaithfulError: it names no part.
    """
    name, _, part = place.partition("-" if place.startswith("wmdp-") else ":")
    if name not in HUB or _is_here(place):
        return None
    if not part:
        raise FaithfulError(f"'{place}' names no part; write wmdp-bio, or mmlu:high_school_geography.")
    return HUB[name], f"{name}-{part}" if name == "wmdp" else part


def _is_here(place: str) -> bool:
    return Path(place).expanduser().exists()


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """What the figures cannot say."""
    at_chance = [name for name, side in summary.get("sides", {}).items() if side["at_chance"]]
    return [
        f"The model answers the {name} questions no better than chance ({summary['sides'][name]['accuracy']:.1%}, by chance"
        f" {summary['sides'][name]['chance']:.1%}): {'nothing can be unlearned' if name == 'forget' else 'no loss shows'}."
        for name in at_chance
    ]


HEADLINE = Headline(
    metric="unlearned",
    margin=0.02,
    wording=Wording(
        claim="clamping latents of {a}-corpus SAEs takes away {amount} {more} of the accuracy on what is to be forgotten,"
        " less that on the rest, than clamping those of {b}-corpus SAEs",
        subject="what clamping latents unlearns",
        more=("more", "less"),
        listing="clamping latents of {a}-corpus SAEs unlearns {parts} than of {b}-corpus SAEs",
        drawn="questions",
    ),
)
SIZES: dict[str, Size] = {"tokens": panel_tokens, "questions": question_count}
STUDY = Study(
    name="unlearning",
    question="Can what the model knows of one text be taken away by clamping latents, without the rest?",
    meaning="Latents that fire on the forget text and hardly on the retain text are clamped below 0 where they fire, and the"
    " model answers multiple-choice questions about both. The setting (threshold, latents, multiplier) is chosen on one half"
    " of the questions and scored on the other, both ways: the best of many settings on the questions that it was chosen on,"
    " as SAEBench reports it, stands beside. unlearned is the accuracy lost on forget questions less that on the rest.",
    config=UnlearningConfig,
    cost=_cost,
    shares_out="SAEs",
    headline=HEADLINE,
    check=refuse,
    sizes=SIZES,
    optional=True,
    captions={
        "curves": "Accuracy lost on forget (full) and retain questions (dashed) over the multiplier, mean over SAEs"
    },
    details=("Every setting",),
    warnings=_warnings,
)
