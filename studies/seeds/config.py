"""What `faithful study seeds` is told."""

from dataclasses import dataclass

from studies.common.config import StudyConfig
from studies.common.sizes import GAUSSIAN_SEEDS


@dataclass(frozen=True)
class SeedsConfig(StudyConfig):
    """What to compare.

    Attributes:
        gaussian_seeds: SAEs trained per corpus and shape on Gaussian activations for `floor_gaussian`; 0 leaves it out.
        gaussian_steps: at most so many steps of each; by default as many as the corpus' SAEs were trained.
        examples: latents shown per corpus, of the most and of the least reproducible ones.
    """

    gaussian_seeds: int = GAUSSIAN_SEEDS
    gaussian_steps: int | None = None
    examples: int = 5
