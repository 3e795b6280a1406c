"""What `faithful study reconstruction` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from faithful.options.marks import SETTING, CountOrNone
from studies.common.config import PanelConfig
from studies.common.forecast import StudyCost, Work, panel_tokens
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording


@dataclass(frozen=True)
class ReconstructionConfig(PanelConfig):
    """What to measure."""

    COMMAND: ClassVar = "study reconstruction"

    ks: Annotated[tuple[int, ...], SETTING] = (1, 2, 4)
    """Divisors of k; 1,2,4 measures each SAE with k, k/2 and k/4 latents per token. SAEs without a k of their own are
    measured as they are."""
    controls: Annotated[CountOrNone, SETTING] = 3
    """Seeds of each corpus whose SAE is measured with permuted decoder rows, and as it was before its first step, too."""


def _cost(config: ReconstructionConfig, work: Work) -> StudyCost:
    """Codes of the panel, once for all divisors and once at each, and the model above the hook for each SAE at each divisor,
    two controls of some at one, and three references; up to it once for each, once more for the untrained starts."""
    read = config.tokens or panel_tokens(work.device, work.context)
    controls = 2 * work.trained * min(config.controls, work.seeds)
    spliced = (len(config.ks) * work.saes + controls + 3) * (work.full - work.forward)
    encoded = (1 + len(config.ks) + 2 * controls / max(1, work.saes)) * work.encode
    return StudyCost(read, read * (spliced + encoded + (3 if controls else 2) * work.forward))


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """What a recovery of more than all means, where there is one."""
    matrix = summary.get("matrices", {}).get("ce_recovered", {})
    above = any((figure.get("value") or 0) > 1 for of in matrix.values() for figure in of.values())
    return [ABOVE] if above else []


ABOVE = (
    "Where ce_recovered is above 1, the cross-entropy with the SAE in place was lower than the model's own: on text that the"
    " model does not expect a reconstruction can lose what misleads it; it is a property of that text, not a mistake."
)
HEADLINE = Headline(
    metric="ce_recovered",
    margin=0.005,
    wording=Wording(
        claim="{a}-corpus SAEs recover {amount} {more} of the cross-entropy than {b}-corpus SAEs",
        subject="the cross-entropy recovered",
        more=("more", "less"),
        listing="of the cross-entropy, {a}-corpus SAEs recover {parts} than {b}-corpus SAEs",
        scale=1.0,
        unit="",
        decimals=3,
    ),
    of_text=True,
)
STUDY = Study(
    name="reconstruction",
    question="How well does each SAE rebuild the activations of each corpus?",
    meaning="The reconstruction takes the activation's place inside the model; ce_recovered is the share of the"
    " cross-entropy, between zeroed and clean activations, that it brings back. The headlines are ce_recovered on matched"
    " and on foreign text.",
    config=ReconstructionConfig,
    cost=_cost,
    shares_out="SAEs",
    headline=HEADLINE,
    sizes={"tokens": panel_tokens},
    captions={
        "matrices": "SAEs of each corpus on the text of each corpus",
        "reduced_k": "Quality with fewer active latents",
    },
    details=("ce_diff: ", "kl: ", "ce_recovered: the same one by one"),
    notes=_notes,
    of_seeds_alone="Intervals of fvu, mse, cosine, l2_ratio and l0 are over the seeds alone.",
)
