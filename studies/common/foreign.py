"""Which latents fire strongly on one text and hardly on another: the rule of docs/metrics.md, "Foreign latents", on codes.

TopK fills its budget on whatever it is given, so that a latent of something that a text lacks still fires there, weakly and
often: how densely a latent fires does not tell. What tells is how densely it fires *strongly*, above a share of its
reference: a high quantile of its own activations on the text that its SAE was trained on. On planted truth that text must
hold what is foreign, as a training does: a reference taken from text without it is as weak as what it is to tell apart.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError


@dataclass(frozen=True)
class ForeignRule:
    """A latent is foreign to a text where it fires strongly on more than `often` of the tokens of its own text (that of its
    training) and on less than `seldom` of that text's; strongly is above `share` times its reference, the `quantile` of its
    positive activations on its own text.

    Raises:
        FaithfulError: a number that is not between 0 and 1.
    """

    quantile: float = 0.999
    share: float = 0.4
    often: float = 0.01
    seldom: float = 0.001

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise FaithfulError(f"{name} of the rule for foreign latents is {value:g}; give one between 0 and 1.")

    def foreign(self, often: np.ndarray, seldom: np.ndarray) -> np.ndarray:
        """Bool [d_sae]: which latents fire strongly on the one text and hardly on the other.

        Those that are foreign to a text fire so on their own text and not on that one. The other way round it is those that
        a stimulus wakes, which finds nothing of what an SAE learned from a foreign part of its training.

        Args:
            often, seldom: [d_sae], shares of the tokens of each text on which a latent fires strongly.
        """
        return (often > self.often) & (seldom < self.seldom)


RULE = ForeignRule()
"""As settled on planted truth (docs/metrics.md)."""


class Strongest:
    """The strongest activations of each latent on a text, added up in one pass; their quantile is exact.

    The reference of a latent with n positive activations is the one of rank round((n − 1)·quantile) from below, hence the
    largest where n < 500 at a quantile of .999. Only the (1 − quantile)·tokens strongest can be it: so many are held, 4 bytes
    each. Pieces and their order do not matter.

    Args:
        d_sae: number of latents.
        tokens: most tokens that will come.
        quantile: of the positive activations.
    """

    def __init__(self, d_sae: int, tokens: int, quantile: float = RULE.quantile) -> None:
        self._tokens, self._quantile = tokens, quantile
        most = min(tokens, int((1 - quantile) * tokens) + 2)
        self._strongest, self._counts = torch.zeros(d_sae, most), torch.zeros(d_sae, dtype=torch.int64)
        self._added = 0

    def add(self, values: Tensor, latents: Tensor) -> None:
        """Add codes of some tokens.

        Args:
            values: float [n, k'], ≥ 0.
            latents: int [n, k'], all of a token different.
        """
        self._added += len(values)
        if self._added > self._tokens:
            raise ValueError(f"{self._added} tokens came where at most {self._tokens} were to come")
        width, most = self._strongest.shape
        owners, strengths, counts = by_strength(values.cpu(), latents.cpu(), width)
        ranks = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
        held = ranks < most
        fired = counts.nonzero().flatten()
        rows = torch.zeros(width, dtype=torch.int64)
        rows[fired] = torch.arange(len(fired))
        new = torch.zeros(len(fired), most)
        new[rows[owners[held]], ranks[held]] = strengths[held]
        self._strongest[fired] = torch.cat([self._strongest[fired], new], dim=1).topk(most, dim=1).values
        self._counts += counts

    def reference(self) -> Tensor:
        """The quantile of each latent's positive activations, float32 [d_sae]; 0 where it never fired, so that whatever it
        gives elsewhere is above it."""
        below = ((self._counts - 1).clamp(min=0).double() * self._quantile).round().long()
        from_above = (self._counts - 1 - below).clamp(min=0)
        return self._strongest.gather(1, from_above[:, None]).flatten()


def by_strength(values: Tensor, latents: Tensor, d_sae: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positive activations, latent by latent, of each the strongest first.

    Args:
        values: float [n, k'], ≥ 0.
        latents: int [n, k'].
        d_sae: number of latents.

    Returns:
        the latent of each, int64; its strength, float32; how many each latent has, int64 [d_sae].
    """
    fires = values > 0
    owners, strengths = latents[fires].long(), values[fires].float()
    order = torch.argsort(strengths, descending=True)
    order = order[torch.argsort(owners[order], stable=True)]
    return owners[order], strengths[order], torch.bincount(owners, minlength=d_sae)


def count_strong(values: Tensor, latents: Tensor, thresholds: Tensor) -> Tensor:
    """On how many of the tokens each latent is above its threshold, int64 [d_sae].

    Args:
        values: float [n, k'], ≥ 0.
        latents: int64 [n, k'].
        thresholds: [d_sae], ≥ 0: for strong activations `share` times the references.
    """
    return torch.bincount(latents[values > thresholds[latents]], minlength=len(thresholds))
