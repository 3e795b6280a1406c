"""Codes counted by loops."""

import numpy as np
import torch

from studies.fakes.rules import (
    Firing,
    FiringCounter,
)

CONTEXTS, LENGTH, WIDTH = 40, 30, 6


def count(
    dense: np.ndarray, thresholds: np.ndarray | None = None, batch: int = 7, text: str | None = "noise"
) -> Firing:
    """Codes [contexts, tokens, latents] through the counter, some contexts at a time."""
    contexts, length, width = dense.shape
    limits = torch.from_numpy(np.ones((1, width)) if thresholds is None else thresholds).float()
    counter = FiringCounter(limits, contexts, seed=0, text=text)
    for first in range(0, contexts, batch):
        values = torch.from_numpy(dense[first : first + batch].reshape(-1, width)).float()
        latents = torch.arange(width).expand(len(values), -1)
        counter.add(values, latents, np.repeat(np.arange(first, min(first + batch, contexts)), length))
    return counter.result()


def draw(densities: list[float], strength: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fires = rng.random((CONTEXTS, LENGTH, len(densities))) < np.array(densities)
    return fires * strength * (0.5 + rng.random(fires.shape))
