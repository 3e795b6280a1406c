"""What a latent is explained by and judged on: contexts in which it fires, and contexts in which it does not."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np

from studies.common.codes import CodedText, Codes

BEFORE, AFTER = 16, 10
"""Tokens of a context around its strongest one."""
Reading = Callable[[Sequence[int]], list[tuple[str, int]]]
"""What token ids read as, piece by piece, and of how many tokens each piece is."""


class Window(TypedDict):
    """A part of a context: the place of the context, what its tokens read as piece by piece, and how strongly the latent
    fires on each piece, the most of its tokens."""

    row: int
    tokens: list[str]
    values: list[float]


class Evidence(TypedDict):
    """Of a latent: on which share of tokens it fires, the contexts for its explanation and those that are judged, and in
    which of these it fires (1); every one is of a context of its own."""

    latent: int
    density: float
    shown: list[Window]
    judged: list[Window]
    fires: list[int]


class Drawn(TypedDict):
    """Latents with enough evidence, and an estimate of the share of all latents that have it."""

    latents: list[Evidence]
    eligible: float


class Latents:
    """The firings of an SAE on a text, latent by latent.

    Args:
        coded: the text.
        codes: of the SAE on it.
        reading: what tokens read as.
        seed: of every choice.
    """

    def __init__(self, coded: CodedText, codes: Codes, reading: Reading, seed: int) -> None:
        self.coded, self.reading, self.seed = coded, reading, seed
        self.d_sae = codes.d_sae
        token, slot = (codes.values > 0).numpy().nonzero()
        latents = codes.latents.numpy()[token, slot]
        owners, positions = coded.owners[token], coded.positions[token]
        order = np.lexsort((positions, owners, latents))
        self.owners, self.positions = owners[order], positions[order]
        self.values = codes.values.numpy()[token, slot][order]
        self.bounds = np.searchsorted(latents[order], np.arange(codes.d_sae + 1))

    def drawn(self, most: int, shown: int, judged: int) -> Drawn:
        """Evidence of the first `most` latents, in a random order, of which there is enough. The order depends on the number
        of latents alone, and of each latent what is drawn on itself.

        Args:
            most: latents, at least 2.
            shown: contexts for the explanation of each.
            judged: contexts in which it fires, and as many in which it does not.
        """
        found: list[Evidence] = []
        for tried, latent in enumerate(np.random.default_rng(self.seed).permutation(self.d_sae).tolist(), 1):
            evidence = self._evidence(latent, shown, judged)
            if evidence is not None:
                found.append(evidence)
            if (
                len(found) == most and tried < self.d_sae
            ):  # the search ends at a success, which tells nothing of the share
                return {"latents": found, "eligible": (most - 1) / (tried - 1)}
        return {"latents": found, "eligible": len(found) / self.d_sae}

    def _evidence(self, latent: int, shown: int, judged: int) -> Evidence | None:
        """None where a latent fires in too few contexts, or is silent around too many tokens."""
        random = np.random.default_rng([self.seed, latent])
        first, last = self.bounds[latent : latent + 2]
        owners, values = self.owners[first:last], self.values[first:last]
        ends = [*np.flatnonzero(np.diff(owners, prepend=-1)).tolist(), len(owners)]
        if len(ends) - 1 < shown + judged:
            return None
        peaks = np.array([at + values[at:end].argmax() for at, end in pairwise(ends)])
        ordered = peaks[np.argsort(-values[peaks], kind="stable")]
        spread = ordered[_evenly(len(ordered), shown + judged)]
        for_show = np.zeros(len(spread), bool)
        for_show[_evenly(len(spread), shown)] = True
        silent = self._silent(latent, judged, {*owners[spread].tolist()}, random)
        if silent is None:
            return None
        active = [self._window(latent, int(owners[at]), int(self.positions[first + at])) for at in spread]
        judge = [(window, 1) for window, is_shown in zip(active, for_show, strict=True) if not is_shown]
        judge += [(window, 0) for window in silent]
        mixed = [judge[at] for at in random.permutation(len(judge))]
        return {
            "latent": latent,
            "density": float((last - first) / len(self.coded.owners)),
            "shown": [window for window, is_shown in zip(active, for_show, strict=True) if is_shown],
            "judged": [window for window, _ in mixed],
            "fires": [fires for _, fires in mixed],
        }

    def _silent(self, latent: int, wanted: int, used: set[int], random: np.random.Generator) -> list[Window] | None:
        """Parts without a firing of as many contexts that are not used yet, around a token drawn in each."""
        found: list[Window] = []
        for owner in random.permutation(len(self.coded.rows)).tolist():
            if len(found) == wanted:
                break
            length = len(self.coded.rows[owner])
            if owner in used or length < 2:
                continue
            middle = int(random.integers(1, length))
            begin, end = _around(middle, length)
            if not self._strength(latent, owner)[begin:end].any():
                found.append(self._window(latent, owner, middle))
        return found if len(found) == wanted else None

    def _strength(self, latent: int, owner: int) -> np.ndarray:
        """How strongly it fires on each token of a context."""
        first, last = self.bounds[latent : latent + 2]
        left, right = first + np.searchsorted(self.owners[first:last], [owner, owner + 1])
        values = np.zeros(len(self.coded.rows[owner]))
        values[self.positions[left:right]] = self.values[left:right]
        return values

    def _window(self, latent: int, owner: int, middle: int) -> Window:
        """A part of a context around a position."""
        row, values = self.coded.rows[owner], self._strength(latent, owner)
        at, end = _around(middle, len(row))
        tokens, strongest = [], []
        for text, count in self.reading([int(one) for one in row[at:end]]):
            tokens.append(text)
            strongest.append(float(f"{values[at : at + count].max():.4g}"))
            at += count
        return {"row": owner, "tokens": tokens, "values": strongest}


def _around(middle: int, length: int) -> tuple[int, int]:
    return max(1, middle - BEFORE), min(length, middle + AFTER)


def _evenly(count: int, wanted: int) -> np.ndarray:
    """`wanted` places among `count`, the first and the last included, as far from each other as can be."""
    return np.linspace(0, count - 1, wanted).round().astype(int)
