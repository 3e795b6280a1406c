"""ReLU with an L1 penalty (Bricken et al. 2023), its price steered so that as many latents fire as k asks for."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.variant import Batch, State, Variant, Weights


@dataclass(frozen=True)
class Standard(Variant):
    """Every latent above 0 fires. k is the mean number wished for: the price of a code rises while more fire.

    Attributes:
        price: of a unit of code per token at the start, beside fvu; activations have a norm of 1 in the root mean square.
        rate: how far the logarithm of the price may move over the whole training, per unit of ln(L0/k), at most one.
        damping: power of L0/k that the price is multiplied with at once: without it the price overshoots, and latents die.
    """

    budget = "any"
    price: Annotated[float, Between(1e-9)] = 0.05
    rate: Annotated[float, Between(0)] = 10.0
    damping: Annotated[float, Between(0, 8)] = 1.0

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        return {"price": weights.b_enc.new_tensor(self.price), "l0": weights.b_enc.new_tensor(0.0)}

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        excess = (state["l0"] / batch.phase.k).clamp(0.1, 10) if batch.step else state["l0"] + 1
        return state["price"] * excess**self.damping * batch.codes.values.sum() / len(batch.x)

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`."""
        l0 = (batch.codes.values > 0).sum().to(state["l0"]) / len(batch.x)
        state["l0"].lerp_(l0, 0.1 if batch.step else 1.0)
        off = torch.log(state["l0"].clamp_min(1e-3) / batch.phase.k).clamp(-1, 1)
        state["price"].mul_(torch.exp(off * (self.rate / batch.steps)))

    def report(self, state: State) -> dict[str, float]:
        """See `Variant`."""
        return {"price": float(state["price"])}


VARIANT = Standard
