"""What `faithful study reconstruction` is told."""

from dataclasses import dataclass

from studies.common.config import StudyConfig


@dataclass(frozen=True)
class ReconstructionConfig(StudyConfig):
    """What to measure.

    Attributes:
        ks: divisors of k; (1, 2, 4) measures each SAE with k, k/2 and k/4 latents per token. SAEs without a k of their own
            are measured as they are.
    """

    ks: tuple[int, ...] = (1, 2, 4)
