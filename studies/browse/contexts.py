"""Where the latents of an SAE fire on a text: densities, histograms, the strongest contexts, and those of five quantiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faithful.base.progress import Tally, uncounted
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from studies.common.codes import activations_of

TOP, QUANTILES, PER_QUANTILE, BINS = 8, 5, 5, 24
BEFORE, AFTER = 16, 10
"""Tokens of a context that are shown around its strongest one."""
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LEVELS = len(DIGITS) ** 2 - 1
TOKENS_AT_ONCE = 4096
Context = tuple[int, int, str]
"""The place of a context in the text, the position of its strongest token, and the activations around it, see `Firings`."""


@dataclass(frozen=True)
class ReadText:
    """Activations of a text in a file, read once for all SAEs.

    Attributes:
        path: float32 [tokens, d_in], as the model came by them.
        places: int64 [tokens], of each row of the file its token's place in the text.
        owners, positions: int64 [tokens], by place in the text: its context, and its position there (BOS is 0).
    """

    path: Path
    places: np.ndarray
    owners: np.ndarray
    positions: np.ndarray

    def pieces(self, d_in: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Places and activations [n, d_in], a part of them at a time."""
        activations = np.memmap(self.path, np.float32, "r", shape=(len(self.places), d_in))
        for first in range(0, len(activations), TOKENS_AT_ONCE):
            part = slice(first, first + TOKENS_AT_ONCE)
            yield self.places[part], torch.from_numpy(np.array(activations[part]))


def read_text(
    model: TruncatedModel, rows: Sequence[np.ndarray], ordinary: np.ndarray, path: Path, tally: Tally = uncounted
) -> ReadText:
    """Run contexts through the model once and keep the activations of all but special tokens in a file.

    Args:
        model: up to the hook.
        rows: int64 [≤ context] each, BOS first.
        ordinary: bool [vocab], False for special ids.
        path: of the file, 4 bytes × tokens × d_in.
        tally: told the contexts read and their number.
    """
    owners, positions = [], []
    with path.open("wb") as file:
        for of, at, h in activations_of(model, rows, ordinary, tally):
            owners.append(of)
            positions.append(at)
            file.write(h.cpu().contiguous().numpy().data)
    who, where = np.concatenate(owners), np.concatenate(positions)
    order = np.lexsort((where, who))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return ReadText(path, places, who[order], where[order])


class Firings:
    """All firings of one SAE on a text, latent by latent, each in the order of the text; 12 bytes a firing, 60 while
    they are sorted.

    Contexts say of each firing around their strongest token how many tokens it lies after the first one shown (one of
    `DIGITS`) and how strong it is, in 4095ths of the latent's largest activation (two of them).

    Args:
        text: its activations.
        sae: on the device that encodes.
        device: that one.

    Attributes:
        tokens: of the text.
        values, places: float32 and int64 [firings]: the activation, and the token's place in the text.
        bounds: int64 [d_sae + 1], where each latent's firings begin.
        largest: float32 [d_sae], 0 of a latent that is silent.
    """

    def __init__(self, text: ReadText, sae: Autoencoder, device: torch.device | str = "cpu") -> None:
        self.text, self.tokens = text, len(text.places)
        found: list[tuple[np.ndarray, ...]] = []
        with torch.no_grad():
            for places, h in text.pieces(sae.d_in):
                codes, of = (one.cpu() for one in sae.encode_sparse(h.to(device)))
                token, slot = (codes > 0).nonzero(as_tuple=True)
                found.append((codes[token, slot].float().numpy(), of[token, slot].int().numpy(), places[token.numpy()]))
        values, latents, where = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(latents.astype(np.int64) * self.tokens + where, kind="stable")
        self.values, self.places = values[order], where[order]
        self.bounds = np.searchsorted(latents[order], np.arange(sae.d_sae + 1))
        self.largest = np.zeros(sae.d_sae, np.float32)
        np.maximum.at(self.largest, latents, values)

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each latent fires, float64 [d_sae]."""
        return np.diff(self.bounds) / max(1, self.tokens)

    def histogram(self, latent: int, largest: float) -> list[int]:
        """Tokens in each of 24 equal bins of the activation, from 0 to the largest."""
        values = self.values[self.bounds[latent] : self.bounds[latent + 1]]
        return [int(count) for count in np.histogram(values, BINS, (0.0, largest or 1.0))[0]]

    def contexts(self, latent: int) -> tuple[list[Context], list[list[Context]]]:
        """Where the latent fires most, each context once.

        Returns:
            the strongest contexts, the strongest first; and of each fifth of the contexts in which it fires, ordered by
            their largest activation (the strongest fifth first), some that are evenly spread over it.
        """
        first, end = self.bounds[latent : latent + 2]
        values, places = self.values[first:end], self.places[first:end]
        owners, positions = self.text.owners[places], self.text.positions[places]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        ends = np.append(starts[1:], len(owners))
        peaks = np.maximum.reduceat(values, starts) if len(starts) else values
        order = np.argsort(-peaks, kind="stable")
        levels = np.ceil(values / (self.largest[latent] or 1) * LEVELS).astype(int)

        def context(group: int) -> Context:
            part = slice(starts[group], ends[group])
            middle = int(positions[part][values[part].argmax()])
            begin = max(1, middle - BEFORE)
            near = [
                DIGITS[at - begin] + DIGITS[level >> 6] + DIGITS[level & 63]
                for at, level in zip(positions[part].tolist(), levels[part].tolist(), strict=True)
                if begin <= at < middle + AFTER
            ]
            return int(owners[starts[group]]), middle, "".join(near)

        fifths = [_spread(part) for part in np.array_split(order, QUANTILES)]
        return [context(one) for one in order[:TOP]], [[context(one) for one in part] for part in fifths]


def _spread(groups: np.ndarray) -> Any:
    """At most five of a list, from its first to its last, as far from each other as can be."""
    return groups[np.linspace(0, len(groups) - 1, min(PER_QUANTILE, len(groups))).round().astype(int)]
