"""Balanced logistic probes, one for each parent against the others, all of them at once; F1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

L2, STEPS = 1e-4, 60
NEWTON, HALVINGS, TOLERANCE = 20, 6, 1e-6


@dataclass(frozen=True)
class Probes:
    """Log-odds x · directions + bias.

    Attributes:
        directions: float32 [parents, d_in].
        bias: float32 [parents].
    """

    directions: Tensor
    bias: Tensor

    def scores(self, x: Tensor) -> Tensor:
        """Log-odds of each parent, [n, parents] of x [n, d_in]."""
        return x @ self.directions.T + self.bias


def fit_probes(x: Tensor, is_of: Tensor) -> Probes:
    """Probes on activations, whose own geometry the L2 penalty keeps: they are centred and divided by one number.

    Minimised is, summed over parents, the mean loss with both classes weighing the same, and L2/2 of the squared norm.

    Args:
        x: float32 [n, d_in].
        is_of: bool [n, parents]; each has some and not all texts.
    """
    mean = x.mean(0)
    scale = (x - mean).square().sum(1).mean().sqrt()
    z, y = (x - mean) / scale, is_of.float()
    weights = _balanced(is_of)
    w = torch.zeros(y.shape[1], x.shape[1] + 1, device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimiser.zero_grad()
        scores = z @ w[:, 1:].T + w[:, 0]
        found = (weights * softplus(torch.where(is_of, -scores, scores))).sum() + L2 / 2 * w[:, 1:].square().sum()
        found.backward()
        return found

    optimiser.step(loss)
    found = w.detach()
    directions = found[:, 1:] / scale
    return Probes(directions, found[:, 0] - directions @ mean)


def sparse_scores(codes: Tensor, is_of: Tensor, train: Tensor) -> Tensor:
    """Scores of probes on few latents each, fitted on the texts of `train`: float64 [n, parents].

    Minimised is for each parent the sum over texts of the loss, both classes weighing n/2, and half the squared norm:
    scikit-learn's LogisticRegression(class_weight="balanced"), by Newton steps that never raise it.

    Args:
        codes: [n, parents, k], those of each parent's latents.
        is_of: bool [n, parents].
        train: bool [n].
    """
    features = torch.nn.functional.pad(codes.double(), (1, 0), value=1.0)
    x, y = features[train].transpose(0, 1), is_of[train].T.double()
    weights = _balanced(is_of[train]).T.double() * int(train.sum())
    ridge = torch.ones(x.shape[2], dtype=torch.float64, device=x.device)
    ridge[0] = 0
    w = x.new_zeros(len(x), x.shape[2])

    def loss(at: Tensor) -> Tensor:
        scores = (x @ at[:, :, None])[:, :, 0]
        return (weights * (softplus(scores) - y * scores)).sum(1) + 0.5 * (ridge * at.square()).sum(1)

    before = loss(w)
    for _ in range(NEWTON):
        p = torch.sigmoid((x @ w[:, :, None])[:, :, 0])
        gradient = ((weights * (p - y))[:, None] @ x)[:, 0] + ridge * w
        curvature = x.transpose(1, 2) @ ((weights * p * (1 - p))[:, :, None] * x)
        curvature = curvature + torch.diag(ridge + 1e-9)
        step = torch.linalg.solve(curvature, gradient)
        size = torch.ones(len(w), 1, dtype=torch.float64, device=x.device)
        for _ in range(HALVINGS):
            after = loss(w - size * step)
            if bool((after <= before).all()):
                break
            size = torch.where((after > before)[:, None], size / 2, size)
        w = torch.where((after <= before)[:, None], w - size * step, w)
        moved, before = float((before - torch.minimum(after, before)).max()), torch.minimum(after, before)
        if moved < TOLERANCE * len(y[0]):
            break
    return torch.einsum("npk,pk->np", features, w)


def f1(found: Tensor, is_of: Tensor) -> np.ndarray:
    """F1 of what was found, float64 [parents] of bool [n, parents]; 0 where nothing was found rightly."""
    both = (found & is_of).sum(0).double()
    return (2 * both / (found.sum(0) + is_of.sum(0)).clamp(min=1)).cpu().numpy()


def _balanced(is_of: Tensor) -> Tensor:
    """Weights of texts, [n, parents]: half the sum to each class."""
    many = is_of.sum(0)
    return torch.where(is_of, 0.5 / many, 0.5 / (len(is_of) - many))
