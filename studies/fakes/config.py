"""What `faithful study fakes` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from faithful.options.marks import SETTING, CountOrNone
from studies.common.config import PanelConfig
from studies.common.forecast import StudyCost, Work, by_device, panel_tokens
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording

if TYPE_CHECKING:  # torch, which `--help` does without
    from studies.common.foreign import ForeignRule

NOISE_CONTEXTS = 1000
PANEL_PASSES, NOISE_PASSES = 9, 3


@dataclass(frozen=True)
class FakesConfig(PanelConfig):
    """What to count."""

    COMMAND: ClassVar = "study fakes"

    noise_tokens: Annotated[CountOrNone | None, SETTING] = None
    """Random tokens; by default 64k on a CPU and 1M on a GPU, and no fewer than 1,000 contexts of them."""
    examples: Annotated[CountOrNone, SETTING] = 5
    """Top fake latents shown per corpus."""
    foreign_quantile: Annotated[float | None, SETTING] = None
    """Quantile of a latent's activations on its own text that its strong ones are measured by; default 0.999."""
    foreign_share: Annotated[float | None, SETTING] = None
    """Share of it above which an activation is strong; default 0.4."""


def noise_tokens(device: str, context: int) -> int:
    """Random tokens that fakes are counted on: at least the 1,000 contexts that `fake_notes` is about."""
    return max(by_device(64_000, 1_000_000)(device, context), NOISE_CONTEXTS * (context - 1))


def _cost(config: FakesConfig, work: Work) -> StudyCost:
    """The text under every control, and the random tokens, are read and encoded."""
    panel = config.tokens or panel_tokens(work.device, work.context)
    noise = config.noise_tokens or noise_tokens(work.device, work.context)
    read = PANEL_PASSES * panel + NOISE_PASSES * noise
    return StudyCost(read, read * (work.forward + work.encode))


HEADLINE = Headline(
    metric="fake_contrast",
    margin=0.001,
    wording=Wording(
        claim="{a}-corpus SAEs have {more} fake features than {b}-corpus SAEs, by {amount} of all latents",
        subject="fake features",
        more=("more", "fewer"),
        listing="of fake features, {a}-corpus SAEs have {parts} than {b}-corpus SAEs",
        decimals=2,
        drawn="contexts of text and of random tokens",
    ),
    of_text=True,
)
FOREIGN = Headline(
    metric="foreign_text",
    margin=0.001,
    wording=Wording(
        claim="{a}-corpus SAEs have {more} features that {b} text lacks than {b}-corpus SAEs have features that {a} text"
        " lacks, by {amount} of all latents",
        subject="features that the other's text lacks",
        more=("more", "fewer"),
        listing="of features that the other's text lacks, {a}-corpus SAEs have {parts} than {b}-corpus SAEs",
        decimals=2,
    ),
)
"""A family of its own: the rules of the paper and their corrected p do not depend on it."""


def rule_of(config: FakesConfig) -> "ForeignRule":
    """The rule for foreign latents, with what was stated of it.

    Raises:
        FaithfulError: a share or a quantile that is none.
    """
    from studies.common.foreign import RULE

    stated = {"quantile": config.foreign_quantile, "share": config.foreign_share}
    return replace(RULE, **{name: value for name, value in stated.items() if value is not None})


def _check(config: FakesConfig) -> None:
    rule_of(config)


def _foreign_verdicts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Verdicts on features that the other's text lacks."""
    entries = summary.get("foreign", {}).get("contrasts", [])
    return [(str(entry["verdict"]).partition(":")[0], str(entry["sentence"])) for entry in entries if entry["headline"]]


STUDY = Study(
    name="fakes",
    question="How many features fire on random tokens?",
    meaning="A fake feature fires on random tokens and not on text: on more than 1 % of the former and on less than a tenth"
    " of that of the latter. The headlines are their share of all latents, the latter text being matched or foreign."
    " TopK fills its budget on every text, so that these rules miss what an SAE learned of one text and another lacks: such"
    " foreign latents fire strongly (above a share of their own high quantile) on the former and hardly on the latter.",
    config=FakesConfig,
    cost=_cost,
    shares_out="SAEs",
    headline=HEADLINE,
    check=_check,
    verdicts=_foreign_verdicts,
    sizes={"tokens": panel_tokens, "noise_tokens": noise_tokens},
    captions={
        "contrast": "Density of each latent on random tokens and on text",
        "sweeps": "Fake features over the rules' thresholds",
        "foreign": "Latents that fire strongly on their SAE's own text and hardly on another, the reverse, and over p",
    },
    details=("What those intervals", "Of the most", "Over p", "Over τ", "fake_contrast: the same one by one"),
    of_seeds_alone="Intervals of the controls, of the thresholds' sweeps and of shares of the bound are over the seeds"
    " alone.",
)
