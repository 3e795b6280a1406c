"""Which latents fire on random tokens: the rules of docs/metrics.md, "Study fakes", as sums over contexts."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.common.foreign import RULE
from studies.fakes.config import NOISE_CONTEXTS

QUANTILES = (0.5, 0.9, 0.99)
NOTES_SUM, NOTES_SHARE = 1.0, 0.05
CODE_VALUE, CODE_SHARE = 1.0, 0.10
DENSITIES = (0.01, 0.05, 0.10)
CONTRAST, LANGUAGE = 0.01, 10.0
DRAWS = 200
OF_NOISE = ("fake_notes", "fake_code", *(f"fake_density_{100 * p:g}" for p in DENSITIES))
"""The rules that no text but the random tokens decides."""


@dataclass(frozen=True)
class Resampled:
    """What Poisson weights of the contexts make of the rules.

    Attributes:
        shares: float64 [rules, draws], share of the latents that each of `OF_NOISE` calls fake; nan in a draw without tokens.
        dense, rare: uint8 [draws, ⌈d_sae / 8⌉], bits of the latents that fire on more than 1 % of the tokens, and on less
            than a tenth of that: both sides of `fake_contrast`.
        often, seldom: the same of the latents that fire strongly so: both sides of `ForeignRule`.
    """

    shares: np.ndarray
    dense: np.ndarray
    rare: np.ndarray
    often: np.ndarray
    seldom: np.ndarray

    @property
    def is_empty(self) -> np.ndarray:
        """Which draws hold no token, bool [draws]."""
        return np.isnan(self.shares[-1])


@dataclass(frozen=True)
class Firing:
    """How latents of one SAE fire on some contexts.

    Attributes:
        tokens: how many tokens.
        contexts: how many contexts.
        fired: int64 [d_sae], tokens with f > 0.
        above: int64 [thresholds, d_sae], tokens with f above each of the latent's thresholds; above the last it fires
            strongly.
        summed: int64 [d_sae], contexts with Σ f > 1 among the first 1,000.
        resampled: the bootstrap over contexts; None where none was asked for.
    """

    tokens: int
    contexts: int
    fired: np.ndarray
    above: np.ndarray
    summed: np.ndarray
    resampled: Resampled | None = None

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each latent fires, float64 [d_sae]."""
        return self.fired / max(1, self.tokens)

    @property
    def strong(self) -> np.ndarray:
        """Share of tokens on which each latent fires strongly, float64 [d_sae]."""
        return self.above[-1] / max(1, self.tokens)

    @property
    def l0(self) -> float:
        """Mean number of latents that fire on a token."""
        return float(self.fired.sum() / max(1, self.tokens))


class FiringCounter:
    """Adds up `Firing` over batches of whole contexts; with a bootstrap 16 bytes per draw and latent are held.

    Args:
        thresholds: float32 [thresholds, d_sae], the last one of strong activations.
        contexts: how many contexts will come.
        seed: of the bootstrap's weights.
        text: name of the text, whose weights are drawn by themselves; None for no bootstrap.
    """

    def __init__(self, thresholds: Tensor, contexts: int, seed: int, text: str | None) -> None:
        self.thresholds = thresholds
        width, device = thresholds.shape[1], thresholds.device
        self._fired = torch.zeros(width, dtype=torch.int64, device=device)
        self._above = torch.zeros(thresholds.shape, dtype=torch.int64, device=device)
        self._summed = torch.zeros_like(self._fired)
        self.contexts, self.tokens = contexts, 0
        self._drawn = None if text is None else _Drawn(contexts, width, [seed, 4, zlib.crc32(text.encode())], device)

    def add(self, values: Tensor, latents: Tensor, owners: np.ndarray) -> None:
        """Add the codes of whole contexts.

        Args:
            values: float32 [n, k'], ≥ 0.
            latents: int64 [n, k'].
            owners: int64 [n], the context of each token.
        """
        width = len(self._fired)
        contexts, local = np.unique(owners, return_inverse=True)
        shape, device = (len(contexts), width), values.device
        places = torch.from_numpy(local).to(device)
        flat, fires = places[:, None] * width + latents, values > 0
        active = flat[fires]
        fired = torch.bincount(active, minlength=len(contexts) * width).view(shape)
        sums = torch.zeros(len(contexts) * width, device=device).index_add_(0, active, values[fires].float())
        noted = torch.from_numpy(contexts < NOISE_CONTEXTS).to(device)
        summed = (sums.view(shape) > NOTES_SUM) & noted[:, None]
        self._fired += fired.sum(0)
        self._summed += summed.sum(0)
        over = [values > threshold[latents] for threshold in self.thresholds]
        for place, one in enumerate(over):
            self._above[place] += torch.bincount(latents[one], minlength=width)
        if self._drawn is not None:
            above, strong = (
                torch.bincount(flat[one], minlength=len(contexts) * width).view(shape) for one in (over[0], over[-1])
            )
            tokens = torch.bincount(places, minlength=len(contexts))
            self._drawn.add(torch.from_numpy(contexts).to(device), tokens, noted, (fired, above, summed, strong))
        self.tokens += len(values)

    def result(self) -> Firing:
        """What was added up."""
        return Firing(
            self.tokens,
            self.contexts,
            self._fired.cpu().numpy(),
            self._above.cpu().numpy(),
            self._summed.cpu().numpy(),
            None if self._drawn is None else self._drawn.result(),
        )


class _Drawn:
    """The sums of a `FiringCounter` under Poisson weights of the contexts, draw by draw: a bootstrap over contexts."""

    def __init__(self, contexts: int, width: int, seed: list[int], device: torch.device) -> None:
        weights = np.random.default_rng(seed).poisson(1.0, (DRAWS, contexts)).astype(np.float32)
        self._weights = torch.from_numpy(weights).to(device)
        self._tokens, self._noted = (torch.zeros(DRAWS, 1, device=device) for _ in range(2))
        self._sums = [torch.zeros(DRAWS, width, device=device) for _ in range(4)]

    def add(self, contexts: Tensor, tokens: Tensor, noted: Tensor, counts: Sequence[Tensor]) -> None:
        """Add counts of contexts, each [contexts], and of their latents, each [contexts, d_sae]: tokens with f > 0, with f
        above the first threshold, contexts with Σ f > 1, tokens with a strong f."""
        weights = self._weights[:, contexts]
        for total, added in zip(
            (self._tokens, self._noted, *self._sums), (tokens[:, None], noted[:, None], *counts), strict=True
        ):
            total += weights @ added.float()

    def result(self) -> Resampled:
        """The rules, draw by draw."""
        tokens, noted = self._tokens.double(), self._noted.double()
        fired, above, summed, strong = (one.double() for one in self._sums)
        fake = [(summed > NOTES_SHARE * noted, noted), (above > CODE_SHARE * tokens, tokens)]
        fake += [(fired > p * tokens, tokens) for p in DENSITIES]
        shares = [torch.where(read[:, 0] > 0, one.double().mean(1), torch.nan) for one, read in fake]
        sides = (
            fired > CONTRAST * tokens, fired * LANGUAGE < CONTRAST * tokens,
            strong > RULE.often * tokens, strong < RULE.seldom * tokens,
        )  # fmt: skip
        bits = [np.packbits(side.cpu().numpy(), axis=1) for side in sides]
        return Resampled(torch.stack(shares).cpu().numpy(), *bits)


def fake_notes(noise: Firing) -> np.ndarray:
    """Bool [d_sae]: fires (Σ f > 1) in more than 5 % of the first 1,000 contexts of random tokens, or of all."""
    return noise.summed > NOTES_SHARE * min(noise.contexts, NOISE_CONTEXTS)


def fake_code(noise: Firing, threshold: int = 0, share: float = CODE_SHARE) -> np.ndarray:
    """Bool [d_sae]: f above a threshold (the first is 1) on more than 10 % of the random tokens."""
    return noise.above[threshold] > share * noise.tokens


def fake_density(noise: Firing, p: float) -> np.ndarray:
    """Bool [d_sae]: fires on more than p of the random tokens."""
    return noise.fired > p * noise.tokens


def fake_contrast(noise: Firing, panel: Firing, p: float = CONTRAST) -> np.ndarray:
    """Bool [d_sae]: fires on more than p of the random tokens and on less than p/10 of the panel's."""
    return fake_density(noise, p) & (panel.fired * LANGUAGE < p * panel.tokens)


def latents_of(densities: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    """What is left of each latent, float64 [d_sae]: whether `fake_contrast` calls it `fake`, and its densities.

    Args:
        densities: of each latent on random tokens and on text, as a cell holds them.
    """
    noise, text = np.array(densities, float).T
    return {"fake": ((noise > CONTRAST) & (text * LANGUAGE < CONTRAST)).astype(float), "noise": noise, "text": text}


def resampled_shares(noise: Firing, panel: Firing) -> dict[str, np.ndarray]:
    """Share of fake latents by each rule in each draw of the bootstraps over the contexts of both, float64 [draws].

    SAEs that read the same contexts have the same weights in a draw, so that draws of several SAEs can be averaged.
    """
    assert noise.resampled is not None
    rules = dict(zip(OF_NOISE, noise.resampled.shares, strict=True))
    return {"fake_contrast": resampled_contrast(noise, panel)} | rules


def resampled_contrast(noise: Firing, text: Firing) -> np.ndarray:
    """Share of latents fake by `fake_contrast` in each draw, float64 [draws], on any text whose contexts were resampled; nan
    where a draw holds no token."""
    assert noise.resampled is not None and text.resampled is not None
    return _share(noise.resampled.dense & text.resampled.rare, noise, text)


def resampled_foreign(often: Firing, seldom: Firing) -> np.ndarray:
    """Share of the latents that fire strongly on the one text and hardly on the other in each draw, float64 [draws]."""
    assert often.resampled is not None and seldom.resampled is not None
    return _share(often.resampled.often & seldom.resampled.seldom, often, seldom)


def _share(bits: np.ndarray, *sides: Firing) -> np.ndarray:
    """Share of the latents whose bits are set, draw by draw; nan where a draw of either side holds no token."""
    shares = np.unpackbits(bits, axis=1).sum(1) / len(sides[0].fired)
    return np.where(np.any([side.resampled.is_empty for side in sides if side.resampled], axis=0), np.nan, shares)


def as_json(shares: np.ndarray) -> list[float | None]:
    """Draws as a cell keeps them: None where they are undefined."""
    return [None if np.isnan(share) else float(share) for share in shares]


def interval(shares: Sequence[float | None] | np.ndarray) -> list[float]:
    """95 % interval of a share from its draws, those that are defined: percentiles."""
    low, high = np.nanpercentile(np.array(shares, float), [2.5, 97.5])
    return [float(low), float(high)]


def bound(firing: Firing, p: float) -> float:
    """Most latents that can fire on more than p of the tokens: densities sum to L0, so at most L0/p, and at most all."""
    return min(len(firing.fired), firing.l0 / p)
