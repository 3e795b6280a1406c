"""What `faithful study synthetic` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.marks import MAY_BE_MISSING, Count, Names, names
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording

LEAST_TRUTHS = 3
"""Truth seeds that a verdict needs: each is the mean of several SAEs, and t with 2 degrees of freedom pays for the rest."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What to train and to look at."""

    COMMAND: ClassVar = "study synthetic"

    out: Annotated[Path, MAY_BE_MISSING]
    """Folder; default runs/synthetic/studies/synthetic, with --run studies/synthetic of that run."""
    truths: Annotated[Names, names("--truth")] = ("hier", "ind")
    """hier (trees of features) or ind (independent ones)."""
    variants: Annotated[Names, names("--variant")] = ()
    """By name; repeat it. Default: all, and topk of half the width. Where topk is not among them it is added
    first: all are compared with it."""
    settings: Annotated[tuple[str, ...], names("--set")] = ()
    """Of a variant, VARIANT.NAME=VALUE, as faithful train has it, d_sae and k among them; repeat it. Values
    with commas make a grid."""
    truth_seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Truths of each name; they are the replicates."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Init seeds on each truth."""
    planted: Names = ("topk",)
    """Those that planted foreign features are looked for in, as tables call them (orthogonal-a0.2); `none` is none.

    On at most three truths and two seeds.
    """
    steps: Count = 2000
    """Of each training."""
    batch: Count = 256
    """Activations of a step."""
    lr: float = 0.003
    """Peak learning rate."""
    d_in: Count = 128
    """Dimensions, a multiple of 4: hier has 6 features per dimension, ind 4."""
    d_sae: Count | None = None
    """Latents; default 4 per dimension."""
    k: Count | None = None
    """Latents per token; default about the truth's L0: 11 of hier and 8 of ind in 128 dimensions."""
    dead_tokens: Count | None = None
    """Tokens of silence after which a latent is dead; default a tenth of the training."""
    tokens: Count = 16384
    """Fresh tokens to measure on."""
    workers: int | None = None
    """Processes that share the work, one thread each; default 1, of a cluster all.

    By default each takes 1.1 GB, and 1.6 GB for planted features."""


def _cost(config: SyntheticConfig, work: Work) -> StudyCost:
    """Nothing of a run."""
    return StudyCost(0, 0.0)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    sizes = summary["sizes"]
    return [
        f"Each figure is the mean over {sizes['truth_seeds']} truths of {sizes['seeds']} SAEs each; intervals are t intervals"
        " over the truths, whose spread holds that of the init seeds. Contrasts are paired by truth and init seed, and"
        " corrected by Holm over the variants on one kind of truth, for each figure; frozen controls, variants of other"
        " sizes and absorption are exploratory."
    ]


def _headline(metric: str, margin: float, claim: str, subject: str) -> Headline:
    wording = Wording(claim, subject, ("more", "less"), drawn="tokens", replicate="truth")
    return Headline(metric, margin, wording, least=LEAST_TRUTHS)


JUDGED = (
    _headline(
        "recovery", 0.02, "{a} finds {amount} {more} of the true features than {b}", "how many true features are found"
    ),
    _headline(
        "fvu", 0.005, "{a} leaves {amount} {more} of the variance unexplained than {b}", "how much is left unexplained"
    ),
)
EXPLORED = Headline(
    "absorption", 0.0, Wording("", "absorption", ("more", "less"), replicate="truth"), least=LEAST_TRUTHS
)
"""No headline: a permuted decoder, whose latents point elsewhere than they fire for, has less of it than a trained SAE."""
HIGHER = {"recovery": True, "fvu": False, "absorption": False}
"""Figures that stand beside those of controls, and whether more is better."""
STUDY = Study(
    name="synthetic",
    question="Which variant of the SAE finds features that are known?",
    meaning="recovery is the share of the true features with a latent whose cosine is above 0.7, fvu what is left"
    " unexplained; absorption is how much rather a parent's latent is silent where a child fires than where the parent is"
    " alone, among tokens with equally many features; it has no headline, since an SAE whose latents point nowhere has less."
    " Agreement of two seeds is evidence so far as true_shared is above true_unshared.",
    config=SyntheticConfig,
    cost=_cost,
    shares_out="trainings",
    headline=JUDGED[0],
    captions={
        "recovery": "True features found, and what is left unexplained",
        "agreement": "True ones among latents that two seeds share, and among the others",
        "planted": "Planted foreign latents found and others flagged, over the share of the high quantile",
    },
    of_run=False,
    details=("All figures", "Planted foreign latents: sweep"),
    notes=_notes,
)
