"""k as an axis: corpora contrasted at each k, and each at its own best k."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from faithful.store.saes import by_shape
from studies.common.inputs import StudyInput
from studies.sparsity.summary import Axis, BestK
from studies.statistics.estimates import estimate
from studies.statistics.headlines import explored
from studies.statistics.verdicts import Comparison, judge

OF_K = re.compile(r"-k\d+")
BySeed = Mapping[int, float | None]
CONTRASTED = ("c_dec", "fvu", "ce_recovered")
"""The latter two of the evaluation after the training, each SAE on held-out text of its own corpus."""
Read = Mapping[str, Mapping[str, Mapping[str, BySeed]]]
"""By shape, metric and corpus."""


def k_axes(found: StudyInput, read: Read) -> list[Axis]:
    """Grids of SAEs that differ in k alone, of at least two.

    Args:
        found: the SAEs.
        read: their figures.
    """
    of: dict[str, dict[int, str]] = {}
    for shape, saes in by_shape(found.saes).items():
        k = saes[0].identity.get("k", saes[0].outline.k)  # one that fires above thresholds was trained for a k too
        if k is not None and OF_K.search(shape):
            of.setdefault(OF_K.sub("", shape, count=1), {})[int(k)] = shape
    return [_axis(found, name, dict(sorted(ks.items())), read) for name, ks in of.items() if len(ks) > 1]


def best_k(c_dec: Mapping[int, BySeed]) -> BestK:
    """The k with the smallest c_dec, mean over seeds; of equal ones the smallest; and that without each seed in turn.

    Args:
        c_dec: by k and seed. A seed that is alone leaves nothing to choose by.
    """
    seeds = sorted({seed for of in c_dec.values() for seed in of})
    without = {str(seed): _least(c_dec, [one for one in seeds if one != seed]) for seed in seeds}
    k = _least(c_dec, seeds)
    return {"k": k, "at_edge": k in (min(c_dec), max(c_dec)), "without": without if len(seeds) > 1 else {}}


def _least(c_dec: Mapping[int, BySeed], seeds: Sequence[int]) -> int:
    """The first k with the smallest mean over some seeds."""
    means = {k: np.mean([of[seed] for seed in seeds if seed in of] or [np.inf]) for k, of in c_dec.items()}
    return min(sorted(means), key=lambda k: means[k])


def _axis(found: StudyInput, name: str, ks: Mapping[int, str], read: Read) -> Axis:
    everywhere = [corpus for corpus in found.names if all(corpus in read[shape]["c_dec"] for shape in ks.values())]
    best = {corpus: best_k({k: read[shape]["c_dec"][corpus] for k, shape in ks.items()}) for corpus in everywhere}
    at_best = {
        metric: {
            corpus: {int(seed): read[ks[k]][metric][corpus].get(int(seed)) for seed, k in one["without"].items()}
            for corpus, one in best.items()
        }
        for metric in CONTRASTED
    }
    return {
        "shape": name,
        "ks": list(ks),
        "figures": {
            metric: {
                str(k): {corpus: estimate(read[shape][metric][corpus]).summary() for corpus in everywhere}
                for k, shape in ks.items()
            }
            for metric in CONTRASTED
        },
        "best": best,
        "at_k": {
            str(k): judge(
                explored("c_dec"), _comparisons(found, everywhere, {one: read[shape][one] for one in CONTRASTED})
            )
            for k, shape in ks.items()
        },
        "at_best": judge(explored("c_dec"), _comparisons(found, everywhere, at_best)),
    }


def _comparisons(
    found: StudyInput, corpora: Sequence[str], figures: Mapping[str, Mapping[str, BySeed]]
) -> list[Comparison]:
    """The own corpus against each other one, or every two where there is none; exploratory."""
    own = found.own
    pairs = (
        combinations(corpora, 2) if own is None else [(own, one) for one in corpora if one != own and own in corpora]
    )
    return [Comparison(a, b, metric, of[a], of[b]) for a, b in pairs for metric, of in figures.items()]
