"""Which latents fire strongly on one text and hardly on another: the rule of docs/metrics.md, "Study fakes", on codes.

TopK fills its budget on whatever it is given, so that a latent of something that a text lacks still fires there, weakly and
often: how densely a latent fires does not tell. What tells is how densely it fires *strongly*, above a share of its
reference: a high quantile of its own activations on the text that its SAE was trained on. On planted truth that text must
hold what is foreign, as a training does: a reference taken from text without it is as weak as what it is to tell apart.
"""

from collections.abc import Sequence
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
"""Share and quantile from sweeps on planted truth, seen with the foreign features alone; 1 % and 0.1 % are the paper's, and
few rates were tried."""


def quantiles_of(values: Tensor, latents: Tensor, d_sae: int, quantiles: Sequence[float]) -> Tensor:
    """Quantiles of each latent's positive activations on a text, float32 [quantiles, d_sae].

    Of n activations it is exactly the one of rank round((n − 1)·quantile) from below: for .999 the largest of up to 500.
    Where a latent is silent all its activations are 0, and so are its quantiles: whatever it gives elsewhere is above.

    Args:
        values: float [tokens, k'], ≥ 0.
        latents: int [tokens, k'].
        d_sae: number of latents.
        quantiles: from 0 to 1.
    """
    fires = values > 0
    owners, strengths = latents[fires].long(), values[fires].float()
    order = torch.argsort(strengths)
    order = order[torch.argsort(owners[order], stable=True)]
    counts = torch.bincount(owners, minlength=d_sae)
    starts, alive = counts.cumsum(0) - counts, counts > 0
    found = torch.zeros(len(quantiles), d_sae)
    for place, quantile in enumerate(quantiles):
        at = starts[alive] + ((counts[alive] - 1).double() * quantile).round().long()
        found[place, alive] = strengths[order][at]
    return found
