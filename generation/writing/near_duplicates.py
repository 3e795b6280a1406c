"""Duplicate documents: exact ones through 128 bits of hash, near ones through MinHash-LSH on token 5-grams.

Documents come joined, as `faithful.store.corpus.flat_tokens` gives them: `tokens` int64 [tokens], `offsets` int64 [rows + 1].
"""

from collections.abc import Iterator

import numpy as np

SHINGLE = 5
THRESHOLD = 0.8
PERMUTATIONS, BANDS = 128, 32
PARTNERS = 64

_SEED = 20260101
_BLOCK = 1 << 15
_PAIRS = 1 << 14


def document_hashes(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Two independent 64-bit hashes of each document.

    Multilinear: Σ_t w_t (x_t + 1) mod 2^64 with a random weight per position (Lemire & Kaser 2014). Powers of one base
    as weights would let Thue–Morse sequences of 2^11 tokens collide whatever the base; here two documents of ids below
    2^18 agree in both hashes with probability ≤ 2^-92.

    Args:
        tokens: int64 [tokens], the documents joined.
        offsets: int64 [rows + 1].

    Returns:
        uint64 [2, rows].
    """
    lengths = np.diff(offsets)
    values = tokens.astype(np.uint64) + np.uint64(1)
    positions = np.arange(len(tokens)) - np.repeat(offsets[:-1], lengths)
    weights = _weights(int(lengths.max(initial=0)))
    hashes = np.empty((2, len(lengths)), np.uint64)
    running = np.zeros(len(tokens) + 1, np.uint64)
    for row, weight in zip(hashes, weights, strict=True):
        np.cumsum(weight[positions] * values, out=running[1:])
        row[:] = running[offsets[1:]] - running[offsets[:-1]]
    return hashes


def count_distinct(hashes: np.ndarray) -> int:
    """Number of distinct columns of `document_hashes`, uint64 [2, rows]."""
    if hashes.shape[1] == 0:
        return 0
    ordered = hashes[:, np.lexsort(hashes)]
    return 1 + int(np.count_nonzero((ordered[:, 1:] != ordered[:, :-1]).any(axis=0)))


def repeats(hashes: np.ndarray) -> np.ndarray:
    """Which columns of `document_hashes` equal an earlier one: uint64 [2, rows] → bool [rows]."""
    order = np.lexsort(hashes)
    same = (hashes[:, order[1:]] == hashes[:, order[:-1]]).all(axis=0)
    repeated = np.zeros(hashes.shape[1], bool)
    repeated[order[1:][same]] = True
    return repeated


def near_duplicates(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Which documents have at least one near-duplicate among the others.

    Two documents are near-duplicates when the Jaccard similarity of their sets of 5-grams of token ids, as estimated
    by 128 MinHash permutations (Broder 1997; standard error 0.035 at 0.8), is ≥ 0.8. Candidates share one of 32 bands
    of 4 minima (a pair at 0.8 does with probability 1 − 5e-8); in a bucket each document is compared with its 64
    neighbours on either side until a partner is found, so huge buckets of half-similar documents may hide some.
    A document shorter than 5 tokens is one shingle: it has no near-duplicate but an exact one.

    Args:
        tokens: int64 [tokens], the documents joined.
        offsets: int64 [rows + 1].

    Returns:
        bool [rows].
    """
    hashes = document_hashes(tokens, offsets)
    _, first, inverse, copies = np.unique(hashes, axis=1, return_index=True, return_inverse=True, return_counts=True)
    leads = np.zeros(len(offsets) - 1, bool)
    leads[first] = True
    lengths = np.diff(offsets)
    lead_tokens = tokens[np.repeat(leads, lengths)]
    has_partner = leads.copy()
    has_partner[leads] = _partnered(signatures(lead_tokens, np.concatenate([[0], np.cumsum(lengths[leads])])))
    return (has_partner[first] | (copies > 1))[inverse.ravel()]


def signatures(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """MinHash signatures of documents: the minima of their shingles' hashes under 128 affine permutations of uint32.

    Args:
        tokens: int64 [tokens], the documents joined.
        offsets: int64 [rows + 1].

    Returns:
        uint32 [rows, 128]; the share of equal entries of two rows estimates their Jaccard similarity.
    """
    rng = np.random.default_rng(_SEED)
    factors = rng.integers(2**32, size=PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
    shifts = rng.integers(2**32, size=PERMUTATIONS, dtype=np.uint32)
    minima = np.empty((len(offsets) - 1, PERMUTATIONS), np.uint32)
    for rows in _blocks(offsets):
        shingles, starts = _shingles(tokens, offsets[rows.start : rows.stop + 1])
        for number, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            minima[rows, number] = np.minimum.reduceat(shingles * factor + shift, starts)
    return minima


def _weights(length: int) -> np.ndarray:
    """Two random weights per position, uint64 [2, length]; a longer request extends a shorter one."""
    return np.stack(
        [np.random.default_rng([_SEED, row]).integers(2**64, size=length, dtype=np.uint64) for row in (0, 1)]
    )


def _blocks(offsets: np.ndarray) -> Iterator[slice]:
    """Consecutive rows of about 2^15 tokens, few enough to stay in the cache."""
    start, rows = 0, len(offsets) - 1
    while start < rows:
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + _BLOCK)))
        yield slice(start, min(stop, rows))
        start = stop


def _shingles(tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the 5-grams of documents, at least one each, and where each document's begin.

    Returns:
        uint32 [shingles] and int64 [rows].
    """
    tokens, offsets = tokens[offsets[0] : offsets[-1]], offsets - offsets[0]
    counts = np.maximum(np.diff(offsets) - SHINGLE + 1, 1)
    starts = np.cumsum(counts) - counts
    ends = np.repeat(offsets[1:], counts)
    positions = np.arange(counts.sum()) + np.repeat(offsets[:-1] - starts, counts)
    hashes = np.zeros(len(positions), np.uint64)
    padded = np.append(tokens + 1, np.zeros(SHINGLE, np.int64))
    for place, weight in enumerate(_weights(SHINGLE)[0]):
        values = np.where(positions + place < ends, padded[positions + place], 0)
        hashes += weight * values.astype(np.uint64)
    return (hashes >> np.uint64(32)).astype(np.uint32), starts


def candidates(minima: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that share a band of their minima: each row with the 64 before it in its bucket.

    Args:
        minima: uint32 [rows, 128] from `signatures`, in memory or mapped.

    Yields:
        int64 [pairs] the earlier rows and int64 [pairs] the later ones, band by band.
    """
    for band in range(BANDS):
        keys = band_keys(minima, band)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for distance in range(1, PARTNERS + 1):
            same = keys[distance:] == keys[:-distance]
            if not same.any():
                break
            yield order[:-distance][same], order[distance:][same]


def band_keys(minima: np.ndarray, band: int) -> np.ndarray:
    """One uint64 per row for the minima of a band; a collision costs a comparison and changes nothing."""
    width = PERMUTATIONS // BANDS
    keys = np.zeros(len(minima), np.uint64)
    for column in minima[:, band * width : (band + 1) * width].T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def agree(minima: np.ndarray, rows: np.ndarray, others: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Whether rows of uint32 [rows, 128] share ≥ 80 % of the minima with the rows `partners` of `others`: bool [pairs]."""
    close = np.empty(len(rows), bool)
    for start in range(0, len(rows), _PAIRS):
        block = slice(start, start + _PAIRS)
        close[block] = (minima[rows[block]] == others[partners[block]]).mean(axis=1) >= THRESHOLD
    return close


def _partnered(minima: np.ndarray) -> np.ndarray:
    """Which rows of uint32 [rows, 128] are near-duplicates of some other row, bool [rows]."""
    has_partner = np.zeros(len(minima), bool)
    for earlier, later in candidates(minima):
        open_ = ~(has_partner[earlier] & has_partner[later])
        earlier, later = earlier[open_], later[open_]
        close = agree(minima, earlier, minima, later)
        has_partner[earlier[close]] = has_partner[later[close]] = True
    return has_partner
