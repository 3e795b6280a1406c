"""What `faithful study variants` is told, its figures with their margins and words, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from studies.common.config import SaesConfig
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording
from studies.statistics.numbers import listed

UNSAID = Wording("", "", ("", ""))
"""Of figures without a verdict."""
IF_MEASURED: dict[str, dict[str, float]] = {
    "absorption": {"full_absorption": 0.01, "absorption_fraction_060": 0.01},
    "sparsity": {"c_dec": 0.005, "coherence": 0.01},
    "unlearning": {"unlearned": 0.02},
    "interventions": {"scr": 0.01, "tpp": 0.01},
}
"""Figures and margins of studies that a run has only where they are asked for."""
WITHOUT_VERDICT = (
    "fake_contrast", "accuracy", "ce_recovered", *(metric for of in IF_MEASURED.values() for metric in of)
)  # fmt: skip
"""Figures over random tokens, test examples, words, questions and contexts, whose draw the tables do not hold, or that
permuted decoders reach too: intervals, in no family."""


@dataclass(frozen=True)
class VariantsConfig(SaesConfig):
    """What to compare."""

    COMMAND: ClassVar = "study variants"

    own: str | None = None
    """Name of the corpus whose contrasts are the family; default: the model's own."""


def _cost(config: VariantsConfig, work: Work) -> StudyCost:
    """Nothing is read but tables."""
    return StudyCost(0, 0.0, 1.0)


def _headline(
    metric: str, margin: float, claim: str, subject: str, more: tuple[str, str], points: bool = True
) -> Headline:
    scale, unit, decimals = (100.0, " points", 1) if points else (1.0, "", 3)
    return Headline(metric, margin, Wording(claim, subject, more, "", scale, unit, decimals))


EVALUATION = {
    "fvu": _headline(
        "fvu", 0.005, "{a} leaves {amount} {more} of the variance unexplained than {b}", "the variance unexplained",
        ("more", "less"), points=False,
    ),
    "alive_share": _headline(
        "alive_share", 0.01, "{a} has {amount} {more} latents that ever fire than {b}", "how many latents ever fire",
        ("more", "fewer"),
    ),
}  # fmt: skip
"""Figures that the evaluation after the training gives."""
OF_STUDIES: dict[str, tuple[Headline, ...]] = {
    "seeds": (_headline(
        "shared_feature_ratio", 0.01, "{a} shares {amount} {more} features across seeds than {b}",
        "how many features are shared across seeds", ("more", "fewer"),
    ),),
    "fakes": (Headline("fake_contrast", 0.001, UNSAID),),
    "probes": (Headline("accuracy", 0.01, UNSAID),),
    "reconstruction": (Headline("ce_recovered", 0.005, UNSAID),),
    **{name: tuple(Headline(metric, margin, UNSAID) for metric, margin in of.items()) for name, of in IF_MEASURED.items()},
}  # fmt: skip
"""What is taken of each other study of the run, with its margin there."""
ELSEWHERE = "Exploratory: other corpora and shapes"
"""How the table begins that a terminal shows on request."""
WHY = {
    "missing": "the run has not measured it",
    "outdated": "it was measured before some of the SAEs were trained; run it again",
    "ceiling": "the activations alone solve every task of it",
}
"""Why nothing is taken of a study."""
MEASURED = {**EVALUATION, **{headline.metric: headline for of in OF_STUDIES.values() for headline in of}}


def _left_out(summary: Mapping[str, Any]) -> list[str]:
    found = []
    for why in WHY:
        of = [name for name, reason in summary.get("left_out", {}).items() if reason == why]
        if of:
            lacking = listed(f"{OF_STUDIES[name][0].metric} (faithful study {name})" for name in of)
            found.append(f"Not compared, since {WHY[why]}: {lacking}.")
    return found


def _notes(summary: Mapping[str, Any]) -> list[str]:
    verdicts = listed(name for name in MEASURED if name not in WITHOUT_VERDICT)
    measured = {one["metric"] for one in summary["contrasts"]}
    others = [name for name in WITHOUT_VERDICT if name in measured]
    drawn = f": {listed(others)}, which depend on that draw most, have no verdict here" if others else ""
    of_no_quality = sorted(measured & IF_MEASURED["interventions"].keys())
    return [
        f"The family of Holm is {verdicts} of every variant on {summary['own']}; other corpora, shapes and the frozen"
        " controls are exploratory. Every interval is over the init seeds alone and leaves out which test examples, random"
        f" tokens and contexts of text were drawn{drawn}.",
        *(
            [f"Known not to measure quality, as faithful study interventions says: {listed(of_no_quality)}."]
            if of_no_quality
            else []
        ),
    ]


def _came_out_alike(summary: Mapping[str, Any]) -> list[str]:
    corpora: dict[str, list[str]] = {}
    several = len({group["shape"] for group in summary["groups"]}) > 1
    for group in summary["groups"]:
        for variant in group.get("same", ()):
            corpora.setdefault(variant, []).append(group["corpus"] + (f" ({group['shape']})" if several else ""))
    return [
        f"On {listed(of)} the SAEs of {variant} are TopK's, bit for bit: what the variant adds never acted in the training,"
        " and there is nothing to compare."
        for variant, of in corpora.items()
    ]


STUDY = Study(
    name="variants",
    question="What does each variant of the SAE change of TopK?",
    meaning="Each variant minus TopK at equal corpus, width, k and seeds, in what the evaluation after the training and the"
    " run's other studies measured. alive_share is the share of latents that fire on held-out text, l0"
    " how many fire per token; ce_recovered is on the"
    " whole panel, accuracy the mean over tasks of a probe on all codes.",
    config=VariantsConfig,
    cost=_cost,
    captions={
        "differences": "Every variant minus TopK with its 95 % interval, in margins of relevance (grey); hollow: no verdict"
    },
    details=(ELSEWHERE,),
    optional=True,
    of_studies=True,
    notes=_notes,
    warnings=lambda summary: [*_left_out(summary), *_came_out_alike(summary)],
)
