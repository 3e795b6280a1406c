"""What `faithful study seeds` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from faithful.options.marks import SETTING, CountOrNone
from studies.common.config import PanelConfig
from studies.common.forecast import StudyCost, Work, panel_tokens
from studies.common.study import Study
from studies.seeds.chance import floor_notes
from studies.statistics.headlines import Headline, Wording
from studies.statistics.numbers import listed

ASSIGNMENTS = 3
"""How many are solved for a pair of SAEs: for all decoder rows, those that fire, and the encoder rows."""
ASSIGNMENT_SECONDS = 10 / 18_432**2
"""Per pair of latents, on the CPU on any device, beside the product: 10 s for 18,432² (`benchmarks/bench_matching.py`)."""


@dataclass(frozen=True)
class SeedsConfig(PanelConfig):
    """What to compare."""

    COMMAND: ClassVar = "study seeds"

    gaussian_seeds: Annotated[CountOrNone, SETTING] = 2
    """SAEs trained per corpus and shape on Gaussian activations for `floor_gaussian`, at least 2; 0 leaves it out."""
    gaussian_steps: Annotated[CountOrNone | None, SETTING] = None
    """At most so many steps of each; by default as many as the corpus' SAEs were trained."""
    examples: Annotated[CountOrNone, SETTING] = 5
    """Latents shown per corpus, of the most and of the least reproducible ones."""


def _cost(config: SeedsConfig, work: Work) -> StudyCost:
    """Codes of the panel, the product and the assignments of every pair of SAEs, and the SAEs of Gaussian activations."""
    read = config.tokens or panel_tokens(work.device, work.context)
    within = work.trained * work.seeds * (work.seeds - 1) // 2
    across = work.trained * (work.trained - 1) // 2 * work.seeds * (work.seeds - 1)
    assigned = ASSIGNMENTS * (within + across) * sum(d_sae**2 for d_sae, _ in work.shapes)
    steps = config.gaussian_steps
    trained = min(work.tokens, steps * work.batch) if steps else work.tokens
    floors = work.trained * min(config.gaussian_seeds, work.seeds) * trained * work.step / work.seeds
    flops = read * (work.forward + work.encode) + 2.0 * assigned * work.d_model + floors
    return StudyCost(read, flops, assigned * ASSIGNMENT_SECONDS)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """What the figures without an interval are of, and what is not compared."""
    floors = sorted({one["pairs"] for of in summary.get("floors", {}).values() for one in of.values()})
    shapes = sorted({one["pairs"] for one in summary.get("between_shapes", {}).values()})
    apart = "; ".join(" and ".join(two) for two in summary.get("not_compared", ()))
    found = [f"A floor is the mean over {_or(floors)} of decoders, without an interval."] if floors else []
    missing = "; ".join(f"{listed(floors)} of {name}" for name, floors in summary.get("floors_missing", {}).items())
    if missing:
        found.append(f"Not made, for want of held-out text or of two SAEs whose training is known: {missing}.")
    if shapes:
        found.append(
            f"Figures between shapes are means over {_or(shapes)} of SAEs, without an interval: those pairs share SAEs."
        )
    return found + ([f"Not compared with each other, since each has pairs of its own: {apart}."] if apart else [])


def _or(counts: list[int]) -> str:
    """`1 pair`, `3 or 36 pairs`."""
    return f"{' or '.join(map(str, counts))} pair{'' if counts == [1] else 's'}"


HEADLINE = Headline(
    metric="shared_feature_ratio",
    margin=0.01,
    wording=Wording(
        claim="{a}-corpus SAEs share {amount} {more} features across seeds than {b}-corpus SAEs",
        subject="features shared across seeds",
        more=("more", "fewer"),
    ),
)
STUDY = Study(
    name="seeds",
    question="Do SAEs that differ in their seed find the same features?",
    meaning="The decoder rows of two SAEs that differ in their init seed are matched one to one; the shared feature ratio is"
    " the share of pairs with a cosine above 0.7. Floors are what chance alone gives.",
    config=SeedsConfig,
    cost=_cost,
    shares_out="pairs of SAEs",
    headline=HEADLINE,
    sizes={"tokens": panel_tokens},
    captions={
        "sfr_curves": "Shared features against the threshold, with intervals and floors",
        "matched_cosines": "How alike matched features are",
        "across_corpora": "Features shared within and across corpora",
        "reappearance": "How probably a latent reappears with another seed, against how often it fires",
    },
    details=("Floors: ", "How probably a latent"),
    notes=_notes,
    warnings=floor_notes,
)
