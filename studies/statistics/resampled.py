"""What else was drawn beside the seeds: figures that know what they become under other examples, contexts or sequences.

Probes are scored on drawn examples, reconstruction and fakes on drawn contexts and sequences of noise. Their seeds agree on
what that draw did to them, so that no spread of seeds shows it: a test over seeds alone rejects two corpora whose answers
were exchanged at random more often than it says (`benchmarks/sampling_calibration.py`).
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 400


class Resampled(dict[int, float | None]):
    """Figures per seed that know what they become when what they were measured on is drawn again.

    Args:
        figures: by seed.
        draws: by seed, float64 [draws]; draw d is of the same resample for every SAE.
        units: how many independent examples, contexts or sequences were drawn.
    """

    def __init__(self, figures: Mapping[int, float | None], draws: Mapping[int, np.ndarray], units: int) -> None:
        super().__init__(figures)
        self.draws, self.units = dict(draws), units

    @staticmethod
    def mean(several: Sequence["Resampled"]) -> "Resampled":
        """Mean over several measurements, of the seeds that have all of them; their draws go together."""
        seeds = [seed for seed in several[0] if all(one.get(seed) is not None for one in several)]
        figures = {seed: float(np.mean([one[seed] for one in several])) for seed in seeds}
        draws = {seed: np.mean([one.draws[seed] for one in several], axis=0) for seed in seeds}
        rest: dict[int, float | None] = dict.fromkeys(seed for one in several for seed in one)
        return Resampled(rest | figures, draws, min(one.units for one in several))


def resample_counts(units: int, seed: int, name: str) -> np.ndarray:
    """How often each unit is drawn in each resample, int64 [draws, units]; who states the same gets the same."""
    generator = np.random.default_rng([seed, 5, zlib.crc32(name.encode())])
    return generator.multinomial(units, np.full(units, 1 / units), RESAMPLES)


@dataclass(frozen=True)
class Drawn:
    """What the examples add: the variance of a mean over them, with its degrees of freedom; infinite where too few were drawn
    to tell."""

    variance: float
    freedom: float

    @staticmethod
    def of(seeds: Sequence[int], draws: Mapping[int, np.ndarray], units: int) -> "Drawn | None":
        """The variance of the mean over seeds, resample by resample; draws that leave a figure undefined are left out.

        A bootstrap's variance is (units − 1)/units of what it estimates.
        """
        if not seeds or any(seed not in draws for seed in seeds):
            return None
        means = np.mean([draws[seed] for seed in seeds], axis=0)
        means = means[np.isfinite(means)]
        if units < 2 or len(means) < 2:
            return Drawn(math.inf, 1.0)
        return Drawn(float(means.var(ddof=1)) * units / (units - 1), float(min(len(means), units) - 1))
