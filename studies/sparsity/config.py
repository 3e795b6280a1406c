"""What `faithful study sparsity` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from faithful.options.marks import SETTING, CountOrNone
from studies.common.config import PanelConfig
from studies.common.forecast import StudyCost, Work, by_device, panel_tokens
from studies.common.study import Study

NOISE = by_device(8_000, 200_000)


@dataclass(frozen=True)
class SparsityConfig(PanelConfig):
    """What to measure."""

    COMMAND: ClassVar = "study sparsity"

    noise_tokens: Annotated[CountOrNone | None, SETTING] = None
    """Random tokens that SAEs without a fixed number of active latents are read on; by default 8k on a CPU and 200k on a
    GPU."""


def _cost(config: SparsityConfig, work: Work) -> StudyCost:
    """The panel is encoded once, and every decoder multiplied with itself and its start with itself."""
    read = config.tokens or panel_tokens(work.device, work.context)
    squares = sum(4.0 * work.d_model * d_sae**2 for d_sae, _ in work.shapes)
    return StudyCost(read, read * (work.forward + work.encode) + work.trained * work.seeds * squares)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """How the best k was chosen, and where the grid does not hold it."""
    found = []
    for axis in summary.get("axes", ()):
        edge = [name for name, best in axis["best"].items() if best["at_edge"]]
        chosen = ", ".join(f"{name} {best['k']}" for name, best in axis["best"].items())
        found.append(
            f"The best k of a corpus is that with the smallest c_dec, mean over seeds, on the grid {axis['ks']} of"
            f" {axis['shape']}: {chosen}. In the contrasts at best k each seed is scored at the k that the others choose."
            + (f" At the grid's edge, so that it may lie beyond: {', '.join(edge)}." if edge else "")
        )
    return found


STUDY = Study(
    name="sparsity",
    question="Do decoder rows overlap, how often does each latent fire, and is k the right one?",
    meaning="c_dec is the mean |cos| of two decoder rows; too small a k mixes features that occur together, and c_dec rises."
    " It is no measure of quality (random rows overlap least), and is compared without verdicts."
    " coherence is the largest |cos|, beside the Welch bound below which no so many rows can stay; the densities are those"
    " of latents on the panel. Corpora whose right k differ cannot be compared at one k: where the grid has several, each"
    " corpus is contrasted at every k and at its own best one.",
    config=SparsityConfig,
    cost=_cost,
    shares_out="SAEs",
    optional=True,
    sizes={"tokens": panel_tokens, "noise_tokens": NOISE},
    captions={
        "densities": "How often latents fire: latents by the log10 of their density on the panel, mean over seeds",
        "k": "Overlap of decoder rows against k; the ring is each corpus' best k",
    },
    details=("At every k",),
    notes=_notes,
)
