"""What `faithful study fakes` is told."""

from dataclasses import dataclass

from studies.common.config import StudyConfig


@dataclass(frozen=True)
class FakesConfig(StudyConfig):
    """What to count.

    Attributes:
        noise_tokens: random tokens; by default 64k on a CPU and 1M on a GPU, and no fewer than 1,000 contexts of them.
        examples: top fake latents shown per corpus.
    """

    noise_tokens: int | None = None
    examples: int = 5
