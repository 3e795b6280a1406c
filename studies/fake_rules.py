"""Which latents fire on random tokens: METRICS' four rules as sums over contexts, streamed."""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

QUANTILES = (0.5, 0.9, 0.99)
NOTES_SUM, NOTES_SHARE = 1.0, 0.05
CODE_VALUE, CODE_SHARE = 1.0, 0.10
DENSITIES = (0.01, 0.05, 0.10)
CONTRAST, LANGUAGE = 0.01, 10.0
DRAWS = 200


@dataclass(frozen=True)
class Firing:
    """How latents of one SAE fire on some contexts.

    Attributes:
        tokens: how many tokens.
        contexts: how many contexts.
        fired: int64 [d_sae], tokens with f > 0.
        above: int64 [thresholds, d_sae], tokens with f above each of the latent's thresholds.
        summed: int64 [d_sae], contexts with Σ f > 1.
        resampled: int32 [draws, d_sae] and int64 [draws], `fired` and `tokens` under Poisson weights of the contexts.
    """

    tokens: int
    contexts: int
    fired: np.ndarray
    above: np.ndarray
    summed: np.ndarray
    resampled: tuple[np.ndarray, np.ndarray]

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each latent fires, float64 [d_sae]."""
        return self.fired / max(1, self.tokens)

    @property
    def l0(self) -> float:
        """Mean number of latents that fire on a token."""
        return float(self.fired.sum() / max(1, self.tokens))


class FiringCounter:
    """Adds up `Firing` over batches of whole contexts; 4 bytes per bootstrap draw and latent are held.

    Args:
        thresholds: float32 [thresholds, d_sae].
        contexts: how many contexts will come.
        seed: of the bootstrap's weights.
        text: name of the text; the weights of each are drawn by themselves.
    """

    def __init__(self, thresholds: Tensor, contexts: int, seed: int, text: str) -> None:
        self.thresholds = thresholds
        width, device = thresholds.shape[1], thresholds.device
        self._fired = torch.zeros(width, dtype=torch.int64, device=device)
        self._above = torch.zeros(thresholds.shape, dtype=torch.int64, device=device)
        self._summed = torch.zeros_like(self._fired)
        rng = np.random.default_rng([seed, 4, zlib.crc32(text.encode())])
        weights = rng.poisson(1.0, (DRAWS, contexts)).astype(np.float32)
        self._weights = torch.from_numpy(weights).to(device)
        self._drawn = torch.zeros(DRAWS, width, device=device)
        self._drawn_tokens = torch.zeros(DRAWS, device=device)
        self.tokens = 0

    def add(self, values: Tensor, latents: Tensor, owners: np.ndarray) -> None:
        """Add the codes of whole contexts.

        Args:
            values: float32 [n, k'], ≥ 0.
            latents: int64 [n, k'].
            owners: int64 [n], the context of each token.
        """
        width = len(self._fired)
        contexts, local = np.unique(owners, return_inverse=True)
        places = torch.from_numpy(local).to(values.device)
        fires = values > 0
        flat = (places[:, None] * width + latents)[fires]
        per_context = torch.bincount(flat, minlength=len(contexts) * width).view(len(contexts), width)
        sums = torch.zeros(len(contexts) * width, device=values.device).index_add_(0, flat, values[fires].float())
        self._fired += per_context.sum(0)
        self._summed += (sums.view(len(contexts), width) > NOTES_SUM).sum(0)
        for place, threshold in enumerate(self.thresholds):
            over = values > threshold[latents]
            self._above[place] += torch.bincount(latents[over], minlength=width)
        weights = self._weights[:, torch.from_numpy(contexts).to(values.device)]
        self._drawn += weights @ per_context.float()
        self._drawn_tokens += weights @ torch.bincount(places, minlength=len(contexts)).float()
        self.tokens += len(values)

    def result(self) -> Firing:
        """What was added up."""
        return Firing(
            self.tokens,
            self._weights.shape[1],
            self._fired.cpu().numpy(),
            self._above.cpu().numpy(),
            self._summed.cpu().numpy(),
            (self._drawn.cpu().numpy().astype(np.int32), self._drawn_tokens.cpu().numpy().astype(np.int64)),
        )


def thresholds_of(values: Tensor, latents: Tensor, d_sae: int) -> Tensor:
    """1, and `QUANTILES` of each latent's own positive activations on a text, float32 [1 + quantiles, d_sae].

    Where a latent is silent on the text all its activations are 0, and so are its quantiles: whatever it gives elsewhere is
    above them.

    Args:
        values: float32 [tokens, k'], ≥ 0.
        latents: int [tokens, k'].
        d_sae: number of latents.
    """
    found = torch.zeros((1 + len(QUANTILES), d_sae))
    found[0] = 1.0
    fires = values > 0
    owner, strength = latents[fires].long(), values[fires]
    order = torch.argsort(strength)
    order = order[torch.argsort(owner[order], stable=True)]
    counts = torch.bincount(owner, minlength=d_sae)
    starts = counts.cumsum(0) - counts
    alive = counts > 0
    for place, quantile in enumerate(QUANTILES):
        at = starts[alive] + ((counts[alive] - 1) * quantile).round().long()
        found[place + 1, alive] = strength[order][at]
    return found


def fake_notes(noise: Firing) -> np.ndarray:
    """Bool [d_sae]: fires (Σ f > 1) in more than 5 % of the contexts of random tokens."""
    return noise.summed > NOTES_SHARE * noise.contexts


def fake_code(noise: Firing, threshold: int = 0, share: float = CODE_SHARE) -> np.ndarray:
    """Bool [d_sae]: f above a threshold (the first is 1) on more than 10 % of the random tokens."""
    return noise.above[threshold] > share * noise.tokens


def fake_density(noise: Firing, p: float) -> np.ndarray:
    """Bool [d_sae]: fires on more than p of the random tokens."""
    return noise.fired > p * noise.tokens


def fake_contrast(noise: Firing, panel: Firing, p: float = CONTRAST) -> np.ndarray:
    """Bool [d_sae]: fires on more than p of the random tokens and on less than p/10 of the panel's."""
    return fake_density(noise, p) & (panel.fired * LANGUAGE < p * panel.tokens)


def contrast_interval(noise: Firing, panel: Firing, p: float = CONTRAST) -> tuple[float, float]:
    """95 % interval of the share of `fake_contrast`, percentiles over Poisson bootstraps of both sets of contexts."""
    (on_noise, tokens), (on_panel, others) = noise.resampled, panel.resampled
    fake = (on_noise > p * tokens[:, None]) & (on_panel * LANGUAGE < p * others[:, None])
    low, high = np.percentile(fake.mean(1), [2.5, 97.5])
    return float(low), float(high)


def bound(firing: Firing, p: float) -> float:
    """Most latents that can fire on more than p of the tokens: densities sum to L0, so at most L0/p, and at most all."""
    return min(len(firing.fired), firing.l0 / p)
