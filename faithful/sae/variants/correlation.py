"""Founding record 003, dynamic correlation: codes that fire together are to be uncorrelated; k and weight on cosines.

On known truth the penalty does not help: true features that fire together are more correlated than TopK's codes are. It is
here as the record describes it, beside its diagnostic; `anneal` is the part that works, alone.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.parts.schedules import cosine
from faithful.sae.variant import Batch, Phase, State, Variant, Weights

LOOK = 10


@dataclass(frozen=True)
class Correlation(Variant):
    """TopK with the mean squared correlation of latents that fire together, by a running covariance Σ.

    Σ begins as εI and becomes (1 − β) Σ + β (C + εI) with the covariance C of each batch; R = D^(−1/2) Σ D^(−1/2). The
    gradient goes through C alone. Beyond `sample` latents, the first so many stand for all: rows begin in random
    directions.

    Attributes:
        weight: of the mean of R² over pairs, in the end; it rises from 0 as k falls.
        start: how many times k latents fire at first.
        until: share of the training after which both stay.
        beta: β.
        epsilon: ε.
        damped: multiply the gradient by β, as the running mean would; it then does almost nothing.
        sample: latents whose covariance is kept.
    """

    weight: Annotated[float, Between(0)] = 0.1
    start: Annotated[float, Between(1, 1024)] = 4.0
    until: Annotated[float, Between(0.01, 0.95)] = 0.8
    beta: Annotated[float, Between(1e-6, 1)] = 0.01
    epsilon: Annotated[float, Between(0)] = 1e-6
    damped: bool = False
    sample: Annotated[int, Between(2, 4096)] = 1024

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """See `Variant`."""
        early = cosine(fraction, self.until)
        return Phase(round(k * (1 + (self.start - 1) * early)), auxk, self.weight * (1 - early))

    def memory(self, d_in: int, d_sae: int) -> int:
        """See `Variant`."""
        size = min(d_sae, self.sample)
        return 4 * size * size

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        like = weights.b_enc
        size = min(len(like), self.sample)
        return {
            "covariance": self.epsilon * torch.eye(size, dtype=like.dtype, device=like.device),
            "shared": like.new_tensor(0.0),
            "not_finite": like.new_tensor(0.0),
        }

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        codes = _codes(batch, state)
        latest = _covariance(codes)
        held = self._moved(state, latest.detach())
        passed = 2 * (latest - latest.detach())
        squares = _correlations(held + (self.beta if self.damped else 1.0) * passed).square()
        return _mean_of_pairs(squares, codes.detach())

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`: what is only reported is computed in every tenth step."""
        codes = _codes(batch, state)
        state["covariance"].copy_(self._moved(state, _covariance(codes)))
        if batch.step % LOOK:
            return
        shared = _mean_of_pairs(_correlations(state["covariance"]).square(), codes)
        state["not_finite"].add_(~torch.isfinite(shared))
        state["shared"].copy_(shared)

    def _moved(self, state: State, latest: Tensor) -> Tensor:
        held = state["covariance"]
        ridge = self.epsilon * torch.eye(len(held), dtype=held.dtype, device=held.device)
        return torch.lerp(held, latest + ridge, self.beta)

    def report(self, state: State) -> dict[str, float]:
        """See `Variant`: mean R² of pairs that fired together when last looked; looks at which it was no number; bytes of
        what is remembered, however long the training; how many directions hold Σ, as (tr Σ)²/‖Σ‖²."""
        covariance = state["covariance"]
        size = covariance.square().sum()
        return {
            "shared_r2": float(state["shared"]),
            "not_finite_steps": float(state["not_finite"]),
            "state_bytes": float(sum(tensor.nbytes for tensor in state.values())),
            "covariance_rank": float(covariance.trace().square() / size) if size > 0 else 0.0,
        }


def _codes(batch: Batch, state: State) -> Tensor:
    """Of the first latents, whose covariance is kept: [N, m]."""
    size = len(state["covariance"])
    return batch.codes.of(slice(0, size))[0].dense(size)


def _covariance(codes: Tensor) -> Tensor:
    """[m, m] of [N, m]. Its gradient is half of the true one, at half the cost: what comes down to it is symmetric."""
    centred = codes - codes.mean(0)
    return centred.T @ centred.detach() / len(codes)


def _correlations(covariance: Tensor) -> Tensor:
    """R of Σ [m, m]; latents that never varied correlate with none."""
    variances = covariance.diagonal()
    scale = torch.where(variances > 0, variances, 1).rsqrt() * (variances > 0)
    return covariance * scale[:, None] * scale[None, :]


def _mean_of_pairs(squares: Tensor, codes: Tensor) -> Tensor:
    """Mean over pairs of different latents that fire together in a token of the batch."""
    fires = (codes > 0).to(squares.dtype)
    together = ((fires.T @ fires) > 0).fill_diagonal_(False)
    return (squares * together).sum() / together.sum().clamp_min(1)


VARIANT = Correlation
