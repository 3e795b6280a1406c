"""Choose documents so that their lengths are distributed as another corpus' are."""

import numpy as np


def apportion(histogram: np.ndarray, documents: int) -> np.ndarray:
    """Share out `documents` in proportion to a histogram: whole parts first, the rest to the largest remainders.

    Args:
        histogram: int64 [lengths], not all zero.
        documents: how many to share out.

    Returns:
        int64 [lengths] of sum `documents`, each less than 1 from exact proportion; of equal remainders the shorter length
        comes first.
    """
    whole, remainders = np.divmod(histogram * documents, histogram.sum())
    whole[np.argsort(-remainders, kind="stable")[: documents - whole.sum()]] += 1
    return whole


def lacking(wanted: np.ndarray, supply: np.ndarray) -> np.ndarray:
    """Lengths at which the documents run out, the longest first, when longer ones may be cut: int64, empty if they suffice.

    Args:
        wanted: int64 [lengths], documents wanted of each length.
        supply: int64 [lengths], documents there are.
    """
    short = np.cumsum(wanted[::-1]) > np.cumsum(supply[::-1])
    return len(wanted) - 1 - np.flatnonzero(short)


def largest_match(histogram: np.ndarray, supply: np.ndarray) -> int:
    """The largest number of documents whose lengths can be distributed as `histogram`, each cut from one at least as long.

    Found by bisection over the number. `apportion` rounds the documents of each length to whole ones, so that "fits" is not
    quite monotone in the number: the one found fits and the next does not, but a smaller one may fail too (`next_match`
    looks on from there), and a larger one might fit by luck, which is not looked for.

    Args:
        histogram: int64 [lengths], documents of each length in the corpus to be like.
        supply: int64 [lengths], documents of each length that there are; the longest is as long as that of `histogram`.
    """
    low, high = 0, int(supply.sum())
    while low < high:
        middle = (low + high + 1) // 2
        if len(lacking(apportion(histogram, middle), supply)):
            high = middle - 1
        else:
            low = middle
    return low


def smallest_match(histogram: np.ndarray, tokens: int) -> int:
    """The fewest documents with the lengths of `histogram` that hold ≥ `tokens` tokens."""
    sizes = np.arange(len(histogram))
    documents = max(1, int(tokens * histogram.sum() / max(int(histogram @ sizes), 1)))
    while documents > 1 and int(apportion(histogram, documents - 1) @ sizes) >= tokens:
        documents -= 1
    while int(apportion(histogram, documents) @ sizes) < tokens:
        documents += 1
    return documents


def next_match(histogram: np.ndarray, supply: np.ndarray, documents: int, most: int) -> int:
    """The first number from `documents` on that fits, whatever rounding does to the numbers before it; at most `most`.

    Args:
        histogram, supply: see `largest_match`, which found `most`.
        documents: at least so many.
        most: a number that fits.
    """
    while documents < most and len(lacking(apportion(histogram, documents), supply)):
        documents += 1
    return min(documents, most)


def assign(lengths: np.ndarray, priority: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Documents for the lengths wanted: of that length as far as there are any, else cut from the nearest longer ones.

    No other choice cuts fewer documents.

    Args:
        lengths: int32 [rows], stored tokens of the documents there are.
        priority: float64 [rows]; of documents of one length the smallest come first.
        wanted: int64 [longest + 1], documents of each length, which `lacking` finds no fault with.

    Returns:
        int64 [chosen] rows, ascending, and int32 [chosen] the tokens to keep of each.
    """
    order = np.lexsort((priority, lengths))
    bounds = np.searchsorted(lengths[order], np.arange(len(wanted) + 1))
    spare = [order[bounds[-1] :]]
    chosen: list[np.ndarray] = [np.empty(0, np.int64)]
    for length in range(len(wanted) - 1, -1, -1):
        spare.append(order[bounds[length] : bounds[length + 1]])
        missing = int(wanted[length])
        while missing:
            nearest = spare.pop()
            chosen.append(nearest[:missing])
            if len(nearest) > missing:
                spare.append(nearest[missing:])
            missing -= len(chosen[-1])
    rows = np.concatenate(chosen)
    kept = np.repeat(np.arange(len(wanted) - 1, -1, -1, dtype=np.int32), wanted[::-1])
    by_row = np.argsort(rows)
    return rows[by_row], kept[by_row]
