"""What `faithful explain` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from faithful.base.errors import FaithfulError
from faithful.options.marks import SETTING, Count
from studies.common.config import PanelConfig
from studies.common.forecast import Size, StudyCost, Work, panel_tokens
from studies.common.study import Study
from studies.explanations.place import PLACE, address_of, refuse_without_client
from studies.statistics.headlines import Headline, Wording

LEVEL = 0.05
"""One-sided p below which a latent's explanation tells more than chance."""
LEAST = 4
"""Judged contexts of either kind: of fewer no answer, however right, is below the level."""


@dataclass(frozen=True)
class ExplanationsConfig(PanelConfig):
    """Who explains, and how much."""

    COMMAND: ClassVar = "explain"

    endpoint: str | None = None
    """Server with OpenAI's interface; default OPENAI_BASE_URL, else http://localhost:8000/v1 as of `vllm serve`.

    Its key is taken from OPENAI_API_KEY.
    """
    explainer: str | None = None
    """Model that explains and judges; default: the one that the server has."""
    latents: Count = 50
    """Latents of each SAE, drawn among those that fire in enough contexts."""
    shown: Annotated[Count, SETTING] = 10
    """Contexts in which it fires that the explainer sees of a latent."""
    judged: Annotated[Count, SETTING] = 10
    """Further ones in which it fires, and as many in which it does not, that an explanation is judged on."""
    answer_tokens: Annotated[Count, SETTING] = 512
    """Of one answer, at most; a model that reasons before it answers needs more."""
    requests: Annotated[Count, SETTING] = 8
    """Requests that are under way at a time."""


def refuse(config: ExplanationsConfig) -> None:
    """Refuse what cannot be asked, before anything is read."""
    refuse_without_client()
    address_of(config.endpoint)
    if config.latents < 2:
        raise FaithfulError("Explanations are judged beside those of other latents; give --latents of at least 2.")
    if config.judged < LEAST:
        raise FaithfulError(f"judged {config.judged} tells nothing from chance; give at least {LEAST}.")


def _refuse_in_recipe(config: ExplanationsConfig) -> None:
    """The same; and an endpoint, since a recipe is passed on, and who runs it would send a key of theirs there."""
    if config.endpoint is not None:
        raise FaithfulError(f"A recipe names no endpoint, where others' keys would go; set {PLACE} before the run.")
    refuse(config)


def _cost(config: ExplanationsConfig, work: Work) -> StudyCost:
    """The panel is encoded by every SAE and its start; what the endpoint takes is not ours to say."""
    panel = config.tokens or panel_tokens(work.device, work.context)
    return StudyCost(panel, panel * (work.forward + 2 * work.encode))


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """What the figures cannot say."""
    sizes, said = summary.get("sizes", {}), []
    for whole, part, what in (
        (
            "explanations",
            "unexplained",
            "explanations are empty or were cut off, so that nothing is recognised by them",
        ),
        ("answers", "unread", "answers were no list of zeros and ones, and recognise nothing"),
    ):
        if sizes.get(part, 0) > sizes.get(whole, 0) / 10:
            said.append(
                f"{sizes[part]:,} of {sizes[whole]:,} {what}: the shares are of what the explainer is able to say, more than"
                " of the latents; a model that reasons may need more answer_tokens."
            )
    return said


HEADLINE = Headline(
    metric="explained",
    margin=0.1,
    wording=Wording(
        claim="of latents of {a}-corpus SAEs {amount} {more} have an explanation that tells where they fire than of"
        " {b}-corpus SAEs",
        subject="how many latents can be explained",
        more=("more", "fewer"),
        listing="of latents of {a}-corpus SAEs {parts} can be explained than of {b}-corpus SAEs",
    ),
)
SIZES: dict[str, Size] = {"tokens": panel_tokens}
STUDY = Study(
    name="explanations",
    question="How many latents can another model put into words that tell where they fire?",
    meaning="A language model sees contexts in which a latent fires and says in a sentence what they have in common. Then it"
    " is asked, given that sentence alone, which of further contexts the latent fires in, half of which it is silent in."
    f" detection is the mean of the shares of both that are recognised; explained is the share of latents with p < {LEVEL:g}"
    " (Fisher's exact test, one-sided), which at most as many reach by chance. Beside them the same contexts are judged by"
    " another latent's sentence, and latents of an untrained SAE are explained.",
    config=ExplanationsConfig,
    cost=_cost,
    shares_out="SAEs",
    headline=HEADLINE,
    check=_refuse_in_recipe,
    sizes=SIZES,
    optional=True,
    captions={
        "detection": "Share of latents with at least this detection; dashed: another latent's sentence, dotted: latents"
        " of an untrained SAE"
    },
    warnings=_warnings,
)
