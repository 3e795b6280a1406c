"""A variant whose latents are in groups that fire together, found anew a few times in the training."""

from dataclasses import dataclass
from typing import Annotated

import torch

from faithful.base.errors import FaithfulError
from faithful.base.shapes import Between
from faithful.sae.parts.firing_bits import empty_bits, pack, push
from faithful.sae.parts.groups import groups_by_firing
from faithful.sae.parts.overlaps import sample_of
from faithful.sae.variant import Batch, State, Variant, Weights

WINDOW = 4096
GROUPING = (0.05, 0.15, 0.3, 0.5)
"""When groups are found: shares of the training. More often, labels never settle."""


@dataclass(frozen=True)
class Grouped(Variant):
    """TopK with a penalty on overlaps of decoder rows in which groups are looked on kindly.

    Attributes:
        weight: of the penalty at its strongest, beside fvu.
        alpha: cosine that two latents of one group may have; 0 is strict. Until groups are first found, at a twentieth of the
            training, no two latents are of one.
        groups: how many.
        sample: rows that the penalty is estimated from in a step.
    """

    weight: Annotated[float, Between(0)] = 0.03
    alpha: Annotated[float, Between(0, 0.999999)] = 0.2
    groups: Annotated[int, Between(1, 4096)] = 32
    sample: Annotated[int, Between(2, 4096)] = 1024

    def check(self, d_sae: int, k: int) -> None:
        """See `Variant`."""
        if self.groups > d_sae:
            raise FaithfulError(
                f"{d_sae} latents do not make {self.groups} groups; use fewer groups of the variant {self.name}."
            )

    def memory(self, d_in: int, d_sae: int) -> int:
        """See `Variant`."""
        return d_sae * (8 + WINDOW // 8)

    def scratch(self, tokens: int, d_in: int, d_sae: int) -> int:
        """See `Variant`: all codes, and which of them fire as bits are packed."""
        return 8 * tokens * d_sae

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        like = weights.b_enc
        groups = torch.full((len(like),), -1, dtype=torch.int64, device=like.device)
        return {"groups": groups, "bits": empty_bits(len(like), WINDOW, like.device)}

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`: firing is kept for the last tokens before latents are grouped."""
        d_sae = len(batch.W_dec)
        ahead = [step - batch.step for step in (int(share * batch.steps) for share in GROUPING) if step >= batch.step]
        if not ahead or ahead[0] * len(batch.x) > WINDOW:
            return
        push(state["bits"], pack(batch.codes.dense(d_sae) > 0))
        if ahead[0] == 0:
            state["groups"].copy_(groups_by_firing(state["bits"], self.groups, batch.generator()))

    def sampled(self, batch: Batch) -> torch.Tensor:
        """The rows that this step's penalty is estimated from, int64."""
        return sample_of(len(batch.W_dec), self.sample, batch.generator(), batch.W_dec.device)
