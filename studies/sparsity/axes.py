"""k as an axis: corpora contrasted at each k, and each at its own best k."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from faithful.store.saes import by_shape
from studies.common.inputs import StudyInput
from studies.sparsity.config import HEADLINE
from studies.sparsity.summary import Axis, BestK
from studies.statistics.estimates import Figures, estimate
from studies.statistics.verdicts import Comparison, judge

OF_K = re.compile(r"-k\d+")
CONTRASTED = ("c_dec", "fvu", "ce_recovered")
"""The latter two of the evaluation after the training, each SAE on held-out text of its own corpus."""
Read = Mapping[str, Mapping[str, Mapping[str, Figures]]]
"""By shape, metric and corpus."""


def k_axes(found: StudyInput, read: Read) -> list[Axis]:
    """Grids of SAEs that differ in k alone, of at least two.

    Args:
        found: the SAEs.
        read: their figures.
    """
    of: dict[str, dict[int, str]] = {}
    for shape, saes in by_shape(found.saes).items():
        if saes[0].outline.k is not None and OF_K.search(shape):
            of.setdefault(OF_K.sub("", shape, count=1), {})[int(saes[0].outline.k)] = shape
    return [_axis(found, name, dict(sorted(ks.items())), read) for name, ks in of.items() if len(ks) > 1]


def best_k(c_dec: Mapping[int, float]) -> BestK:
    """The k with the smallest c_dec; of equal ones the smallest.

    Args:
        c_dec: mean over seeds by k.
    """
    k = min(sorted(c_dec), key=lambda one: c_dec[one])
    return {"k": k, "at_edge": k in (min(c_dec), max(c_dec))}


def _axis(found: StudyInput, name: str, ks: Mapping[int, str], read: Read) -> Axis:
    everywhere = [corpus for corpus in found.names if all(corpus in read[shape]["c_dec"] for shape in ks.values())]
    c_dec = {corpus: {k: _mean(read[shape]["c_dec"][corpus]) for k, shape in ks.items()} for corpus in everywhere}
    best = {corpus: best_k(by_k) for corpus, by_k in c_dec.items()}
    at_best = {
        metric: {corpus: read[ks[one["k"]]][metric][corpus] for corpus, one in best.items()} for metric in CONTRASTED
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
            str(k): judge(HEADLINE, _comparisons(found, everywhere, {one: read[shape][one] for one in CONTRASTED}))
            for k, shape in ks.items()
        },
        "at_best": judge(HEADLINE, _comparisons(found, everywhere, at_best)),
    }


def _comparisons(
    found: StudyInput, corpora: Sequence[str], figures: Mapping[str, Mapping[str, Figures]]
) -> list[Comparison]:
    """The own corpus against each other one; exploratory."""
    others = [name for name in corpora if name != found.own and found.own in corpora]
    return [
        Comparison(str(found.own), name, metric, of[str(found.own)], of[name])
        for metric, of in figures.items()
        for name in others
    ]


def _mean(figures: Figures) -> float:
    return float(np.mean([value for value in figures.values() if value is not None]))
