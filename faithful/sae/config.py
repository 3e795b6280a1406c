"""Settings of a stack."""

from dataclasses import dataclass, field

from faithful.base.errors import FaithfulError
from faithful.sae.buffers import SCORES
from faithful.sae.variant import Phase, Variant
from faithful.sae.variants.topk import TopK

GEMM_DTYPES = ("bfloat16", "float16")


@dataclass(frozen=True)
class StackConfig:
    """S cells of one shape that train together and differ in their init seeds only.

    Attributes:
        d_in: dimensions of the activations.
        d_sae: latents F.
        k: latents kept per token.
        init_seeds: one per cell.
        steps: length of the training; schedules are fractions of it.
        lr: peak learning rate.
        dead_tokens: a latent silent for so many tokens is dead: AuxK revives it.
        betas, eps: of Adam.
        clip: largest gradient norm of a cell.
        warmup: share of the steps in which the learning rate rises linearly.
        decay: share of the steps, at the end, in which it falls linearly.
        auxk: weight of the AuxK loss.
        auxk_k: dead latents used per token; None is d_in // 2.
        deterministic: no atomics on a GPU (there are none on a CPU).
        gemm_dtype: type of the dense products: None is float32; `bfloat16` or `float16` choose the latents by rounded
            scores, and compute their values in float32.
        variant: what is done otherwise than TopK.
    """

    d_in: int
    d_sae: int
    k: int
    init_seeds: tuple[int, ...]
    steps: int
    lr: float
    dead_tokens: int
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 6.25e-10
    clip: float = 1.0
    warmup: float = 0.05
    decay: float = 0.2
    auxk: float = 1 / 32
    auxk_k: int | None = None
    deterministic: bool = False
    gemm_dtype: str | None = None
    variant: Variant = field(default_factory=TopK)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            FaithfulError: a shape, a length or a share that cannot be.
        """
        ks = [self.variant.phase(percent / 100, self.k, self.auxk).k for percent in range(100)]
        odd = [k for k in ks if not 1 <= k <= self.d_sae]
        wrong = [
            (min(self.d_in, self.d_sae) < 1, f"an SAE of {self.d_in} dimensions and {self.d_sae} latents cannot be"),
            (not 1 <= self.k <= self.d_sae, f"k {self.k} does not fit {self.d_sae} latents"),
            (
                bool(odd),
                f"the variant {self.variant.name} would keep {odd[0] if odd else self.k} of {self.d_sae} latents on its way"
                f" to k {self.k}; use a smaller k, or other settings of {self.variant.name}",
            ),
            (not self.init_seeds, "a stack needs at least one init seed"),
            (min(self.init_seeds, default=0) < 0, "init seeds must not be negative"),
            (self.steps < 1, "there must be at least one training step"),
            (self.dead_tokens < 1, "the dead-token window must be at least 1"),
            (not (0 <= self.warmup <= 1 and 0 <= self.decay <= 1), "warmup and decay are shares from 0 to 1"),
            (self.gemm_dtype not in (None, *GEMM_DTYPES), f"the type of products is none of {', '.join(GEMM_DTYPES)}"),
        ]
        for is_wrong, what in wrong:
            if is_wrong:
                raise FaithfulError(f"The SAE cannot be trained so: {what}.")
        self.variant.check(self.d_sae, self.k)

    def phase(self, step: int) -> Phase:
        """What holds in a step, counted from 0."""
        return self.variant.phase(step / self.steps, self.k, self.auxk)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: never 0 inside the training."""
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.lr * rise * max(fall, 0.0)

    def memory(self, tokens: int) -> int:
        """Bytes that a stack holds on a CPU in steps of `tokens` activations, those for dead latents aside.

        Weights, two moments and what the variant remembers per cell; one cell's gradients, a part of the pre-activations
        (all, where a token's budget does not decide what fires) and three copies of the batch are shared. On a GPU all
        pre-activations of a batch are held.
        """
        cells, d_in, d_sae = len(self.init_seeds), self.d_in, self.d_sae
        cell = 12 * (2 * d_sae * d_in + d_sae + d_in) + 8 * d_sae + self.variant.memory(d_in, d_sae)
        scored = tokens if self.variant.budget != "token" else min(tokens, max(1, SCORES // d_sae))
        # Where all above 0 fire, gradients of all codes are made, by which they are masked.
        beside = self.variant.scratch(tokens, d_in, d_sae) + 8 * tokens * d_sae * (self.variant.budget == "any")
        return cells * cell + 4 * (2 * d_sae * d_in + 3 * tokens * d_in + scored * d_sae) + beside

    def flops(self, tokens: int) -> int:
        """Operations that one step cannot do without, dead latents aside: the encoders' dense products, four sparse ones."""
        return len(self.init_seeds) * 2 * tokens * self.d_in * (self.d_sae + 4 * self.k)
