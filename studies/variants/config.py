"""What `faithful study variants` is told, its figures with their margins and words, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording

BASELINE = "topk"
CONTROLS = ("frozen-decoder", "soft-frozen", "frozen-encoder")
"""Variants that are there to be fallen short of: beside the others, in no family."""


@dataclass(frozen=True)
class VariantsConfig(StudyConfig):
    """What to compare; only `own` and the SAEs matter, since nothing is measured again."""

    COMMAND: ClassVar = "study variants"


def _cost(config: VariantsConfig, work: Work) -> StudyCost:
    """Nothing is read but tables."""
    return StudyCost(0, 0.0, 1.0)


def _headline(
    metric: str, margin: float, claim: str, subject: str, more: tuple[str, str], points: bool = True
) -> Headline:
    scale, unit, decimals = (100.0, " points", 1) if points else (1.0, "", 3)
    listing = claim.replace("{amount} {more}", "{parts}")
    return Headline(metric, margin, Wording(claim, subject, more, listing, scale, unit, decimals))


EVALUATION = {
    "fvu": _headline(
        "fvu", 0.005, "{a} leaves {amount} {more} of the variance unexplained than {b}", "the variance unexplained",
        ("more", "less"), points=False,
    ),
    "alive": _headline(
        "alive", 0.01, "{a} has {amount} {more} latents that ever fire than {b}", "how many latents ever fire",
        ("more", "fewer"),
    ),
}  # fmt: skip
"""Figures that the evaluation after the training gives."""
OF_STUDIES: dict[str, Headline] = {
    "seeds": _headline(
        "shared_feature_ratio", 0.01, "{a} shares {amount} {more} features across seeds than {b}",
        "how many features are shared across seeds", ("more", "fewer"),
    ),
    "fakes": _headline(
        "fake_contrast", 0.001, "{a} has {amount} {more} fake features than {b}", "how many features are fake",
        ("more", "fewer"),
    ),
    "probes": _headline(
        "accuracy", 0.01, "probes on the codes of {a} are {amount} {more} accurate than on those of {b}",
        "the accuracy of probes", ("more", "less"),
    ),
    "reconstruction": _headline(
        "ce_recovered", 0.005, "{a} recovers {amount} {more} of the cross-entropy than {b}", "the cross-entropy recovered",
        ("more", "less"), points=False,
    ),
}  # fmt: skip
"""What is taken of each other study of the run, with its margin there."""
MEASURED = {**EVALUATION, **{headline.metric: headline for headline in OF_STUDIES.values()}}


def _missing(summary: Mapping[str, Any]) -> list[str]:
    missing = summary.get("missing_studies", ())
    if not missing:
        return []
    lacking = " and ".join(f"{OF_STUDIES[name].metric} (faithful study {name})" for name in missing)
    return [f"Not compared, since the run has not measured it: {lacking}."]


def _notes(summary: Mapping[str, Any]) -> list[str]:
    family = f"The family of Holm is every variant and figure on {summary['own']}" if summary.get("own") else ""
    return [f"{family}; other corpora, shapes and the frozen controls are exploratory."] if family else []


STUDY = Study(
    name="variants",
    question="What does each variant of the SAE change of TopK?",
    meaning="Each variant minus TopK at equal corpus, width, k and seeds, in what the evaluation after the training and the"
    " run's other studies measured. alive is the share of latents that fire on held-out text; ce_recovered is on the whole"
    " panel, accuracy the mean over tasks of a probe on all codes.",
    config=VariantsConfig,
    cost=_cost,
    captions={"differences": "Every variant minus TopK with its 95 % interval, in margins of relevance (grey)"},
    of_studies=True,
    notes=_notes,
    warnings=_missing,
)
