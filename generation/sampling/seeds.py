"""Seeds: sample i of a corpus is a pure function of (identity, i).

The seed of a sample is a hash of (run seed, domain, i); its t-th uniform is a hash of (sample seed, t). Nothing depends
on the order in which samples are drawn.
"""

import hashlib

import numpy as np

TRAIN, EVAL = "train", "eval"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def sample_seed(run_seed: int, domain: str, index: int) -> int:
    """63-bit seed of a sample: BLAKE2b of (run seed, domain, index).

    Domains: `train` and `eval` are those of the samples of a corpus. What else draws has a domain of its own, so that it is
    independent of them under the same run seed.
    """
    digest = hashlib.blake2b(f"{run_seed}/{domain}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def uniforms(seeds: np.ndarray, count: int) -> np.ndarray:
    """The first `count` uniforms of each seed: SplitMix64 in counter mode (Steele et al. 2014).

    Args:
        seeds: int64 or uint64 [rows].
        count: uniforms per row.

    Returns:
        float64 [rows, count] in [0, 1), multiples of 2^-53.
    """
    counters = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = seeds.astype(np.uint64)[:, None] + counters * _GOLDEN
        state = (state ^ (state >> np.uint64(30))) * _MIX_1
        state = (state ^ (state >> np.uint64(27))) * _MIX_2
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
