"""Founding record 000, bounded dynamic compression: latents of little energy are shut, and what that costs is bounded.

Beside it in the record stand an SAE pruned at once (`schedule="at once"`) and TopK as narrow from the start.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.shapes import Between
from faithful.sae.parts.firing_bits import empty_bits, pack, popcounts, push
from faithful.sae.parts.schedules import cosine
from faithful.sae.sparse import decode, top_k
from faithful.sae.variant import Batch, State, Variant, Weights

MEMORY = 0.99
BLOCK, BLOCKS = 32, 512
ROUNDING = 1e-5
WAY = 5.0
LOOKS = 50
COUNTS = ("checks", "violations", "single", "tightness")


@dataclass(frozen=True)
class Compression(Variant):
    """TopK over a set of latents that shrinks to a share of all: those of the largest energy E[z²], as a running mean (0.99).

    Let z be the codes without the gate and z' those with it. ‖x̂ − x̂'‖ ≤ 2 Σ of the z that the gate drops, since each dropped
    code lets at most one other in, which is no larger, and rows have length 1. Now and then this is checked for each
    token that the gate touches, and so is Σ alone, which does not hold.

    Attributes:
        keep: share of the latents that are kept in the end; a controller's least.
        schedule: `gradual` falls to `keep` along half a cosine; `at once` is at `keep` when the warm-up is over; `controlled`
            keeps as few as leave the mean of bound/‖x − mean(x)‖ at `epsilon`.
        epsilon: that mean.
        warmup: share of the training in which all latents take part.
        until: share of the training at which a gradual fall ends.
        check_every: most steps from one check of the bound, and move of the gate, to the next; there are 50 at least.
    """

    version = 2
    keep: Annotated[float, Between(0.001, 1)] = 0.5
    schedule: Literal["gradual", "at once", "controlled"] = "gradual"
    epsilon: Annotated[float, Between(1e-6, 2)] = 0.05
    warmup: Annotated[float, Between(0, 0.9)] = 0.1
    until: Annotated[float, Between(0.01, 1)] = 0.8
    check_every: Annotated[int, Between(1)] = 10

    def check(self, d_sae: int, k: int) -> None:
        """See `Variant`."""
        if self.kept(d_sae, self.keep) < k:
            raise FaithfulError(
                f"A share of {self.keep:g} keeps {self.kept(d_sae, self.keep)} of {d_sae} latents, and {k} fire per token;"
                f" give the variant {self.name} a larger keep."
            )
        if self.schedule == "gradual" and self.until <= self.warmup:
            raise FaithfulError(
                f"A fall that ends at {self.until:g} of the training cannot begin at {self.warmup:g}; give the variant"
                f" {self.name} a smaller warmup, or a later until."
            )

    @staticmethod
    def kept(d_sae: int, share: float) -> int:
        """Number of latents that a share is."""
        return math.ceil(share * d_sae)

    def memory(self, d_in: int, d_sae: int) -> int:
        """See `Variant`."""
        return d_sae * (5 + BLOCKS // 8)

    def scratch(self, tokens: int, d_in: int, d_sae: int) -> int:
        """See `Variant`: all scores once more."""
        return 4 * tokens * d_sae

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        like = weights.b_enc
        return {
            "importance": torch.zeros_like(like),
            "gate": torch.ones_like(like, dtype=torch.bool),
            "share": like.new_tensor(1.0, dtype=torch.float64),
            "bits": empty_bits(len(like), BLOCKS, like.device),
            **{name: like.new_zeros((), dtype=torch.float64) for name in COUNTS},
        }

    def gate(self, state: State) -> Tensor:
        """See `Variant`."""
        return state["gate"]

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`: energies and firing bits of every batch; now and then the bound, and the gate."""
        tokens, d_sae = len(batch.x), len(batch.W_dec)
        energies = batch.codes.energies(d_sae) / tokens
        state["importance"].lerp_(energies, 1 - MEMORY if batch.step else 1.0)
        push(state["bits"], pack(batch.codes.fired_in(min(BLOCK, tokens), d_sae)))
        every = max(1, min(self.check_every, batch.steps // LOOKS))
        if batch.step % every == 0:
            cost = self._check_bound(batch, state)
            self._move_gate(batch, state, cost, every)

    def _check_bound(self, batch: Batch, state: State) -> Tensor:
        """Count what the gate does to each token; the mean of bound/‖x − mean(x)‖."""
        scores = torch.addmm(batch.b_enc, batch.x, batch.W_enc.T)
        values, latents = top_k(scores, batch.phase.k)
        values = values.relu_()
        dropped = (values * ~state["gate"][latents]).sum(1)
        # Codes with the gate from the same scores: those of the step may have been chosen by rounded ones.
        rest, among = top_k(scores.masked_fill_(~state["gate"], -torch.inf), batch.phase.k)
        both = decode(values, latents, batch.W_dec) - decode(rest.relu_(), among, batch.W_dec)
        apart = torch.linalg.vector_norm(both, dim=1)
        touched, bound = dropped > 0, 2 * dropped
        slack = ROUNDING * (1 + torch.linalg.vector_norm(batch.x, dim=1))
        state["checks"] += touched.sum()
        state["violations"] += (touched & (apart > bound + slack)).sum()
        state["single"] += (touched & (apart > dropped + slack)).sum()
        state["tightness"] += torch.where(touched, apart / bound, 0).sum()
        return (bound / torch.linalg.vector_norm(batch.x - batch.x.mean(0), dim=1)).mean()

    def _move_gate(self, batch: Batch, state: State, cost: Tensor, every: int) -> None:
        done = batch.fraction
        if done < self.warmup:
            return
        share = state["share"]
        if self.schedule == "at once":
            share.fill_(self.keep)
        elif self.schedule == "gradual":
            left = cosine(done - self.warmup, max(1e-9, self.until - self.warmup))
            share.fill_(self.keep + (1 - self.keep) * left)
        else:
            # A share can be halved or doubled some seven times over the whole training, whatever its length.
            pace = WAY * every / batch.steps
            share.mul_(torch.where(cost <= self.epsilon, math.exp(-pace), math.exp(pace))).clamp_(self.keep, 1.0)
        order = state["importance"].argsort(descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        state["gate"].copy_(rank < torch.ceil(share * len(order)))

    def report(self, state: State) -> dict[str, float]:
        """See `Variant`: kept latents, how many of them fired in none of the last batches (at most 512 blocks of 32
        tokens), and how the bound fared."""
        checks = float(state["checks"])
        return {
            "kept": float(state["gate"].sum()),
            "idle": float((popcounts(state["bits"])[state["gate"]] == 0).sum()),
            "bound_checks": checks,
            "bound_violations": float(state["violations"]),
            "single_bound_violations": float(state["single"]),
            "bound_tightness": float(state["tightness"]) / checks if checks else 0.0,
        }


VARIANT = Compression
