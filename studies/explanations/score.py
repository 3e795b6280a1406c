"""What a judgement is worth: detection by an explanation, against guessing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import hypergeom

from studies.explanations.config import LEVEL


class Score(NamedTuple):
    """How well contexts in which a latent fires are told from others.

    Attributes:
        detection: balanced accuracy, the mean of the shares of both kinds that are recognised; 0.5 by chance.
        p: one-sided p of Fisher's exact test that it is chance.
    """

    detection: float
    p: float

    @property
    def explained(self) -> bool:
        """Whether it is more than chance gives."""
        return self.p < LEVEL


def score(fires: Sequence[int], said: Sequence[int]) -> Score:
    """Of a judgement.

    Args:
        fires: in which contexts the latent fires (1), of both kinds.
        said: in which it was said to.
    """
    true, told = np.array(fires, bool), np.array(said, bool)
    right = int((true & told).sum())
    detection = (right / true.sum() + (~true & ~told).sum() / (~true).sum()) / 2
    p = hypergeom.sf(right - 1, len(true), int(true.sum()), int(told.sum()))
    return Score(float(detection), float(p))
