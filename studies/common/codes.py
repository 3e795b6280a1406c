"""Codes of many SAEs on the same activations: one forward pass, each SAE's active latents kept sparse."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faithful.activations.stream import kept_activations
from faithful.base.errors import FaithfulError
from faithful.base.memory import trim_memory
from faithful.base.progress import Tally, uncounted
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder

ROWS_PER_FORWARD, ROWS_AT_ONCE = 32, 256
HELD_BYTES = {"cpu": 2**27, "cuda": 2**29}

Activations = tuple[np.ndarray, np.ndarray, Tensor]
Beside = Callable[[int, Autoencoder, Tensor, Tensor, Tensor], None]
"""Told the place of an SAE, the SAE, activations [n, d_in] and its codes of them, values and latents [n, k']."""


def activations_of(
    model: TruncatedModel,
    rows: Sequence[np.ndarray],
    ordinary: np.ndarray,
    report: Tally = uncounted,
) -> Iterator[Activations]:
    """Activations of contexts in pieces, special tokens left out.

    Yields:
        for each token its place in `rows`, int64 [n], and its position in the context (BOS is 0), int64 [n], and its
        activation, float32 [n, d_in].
    """
    for first in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[first : first + ROWS_AT_ONCE]
        for places, h in kept_activations(model, chunk, ordinary, ROWS_PER_FORWARD):
            positions = [np.flatnonzero(ordinary[chunk[place]]) for place in places]
            owners = np.repeat(places + first, [len(one) for one in positions])
            yield owners, np.concatenate(positions), h.float()
        report(first + len(chunk), len(rows))


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of activations.

    Attributes:
        mean: float64 [d_in].
        covariance: float64 [d_in, d_in].
        tokens: how many they are of.
    """

    mean: Tensor
    covariance: Tensor
    tokens: int

    @staticmethod
    def of(x: Tensor) -> "Moments":
        """Of activations [n, d_in], on the CPU."""
        wide = x.double().cpu()
        return Moments(wide.mean(0), torch.cov(wide.T, correction=0), len(wide))

    @cached_property
    def root(self) -> Tensor:
        """A root of the covariance, float32 [d_in, d_in]: root rootᵀ is the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()).float()


def pooled(parts: Sequence[Moments]) -> Moments:
    """Moments of activations that come in parts."""
    tokens = sum(part.tokens for part in parts)
    mean = torch.stack([part.tokens * part.mean for part in parts]).sum(0) / tokens
    squares = [part.tokens * (part.covariance + torch.outer(part.mean - mean, part.mean - mean)) for part in parts]
    return Moments(mean, torch.stack(squares).sum(0) / tokens, tokens)


def moments_of(model: TruncatedModel, rows: Sequence[np.ndarray], ordinary: np.ndarray) -> Moments:
    """Moments of the activations of contexts, special tokens left out, summed in float64."""
    count = 0
    total = torch.zeros(model.d_in, dtype=torch.float64, device=model.device)
    products = torch.zeros(model.d_in, model.d_in, dtype=torch.float64, device=model.device)
    for _, _, h in activations_of(model, rows, ordinary):
        wide = h.double()
        total += wide.sum(0)
        products += wide.T @ wide
        count += len(h)
    if count < 2:
        raise FaithfulError("There are too few held-out tokens for the moments of the activations; give more --tokens.")
    mean = total / count
    covariance = products / count - torch.outer(mean, mean)
    return Moments(mean.cpu(), covariance.cpu(), count)


@dataclass(frozen=True)
class Codes:
    """Sparse codes of one SAE on some tokens.

    Attributes:
        values: float32 [tokens, k'], 0 where fewer fire.
        latents: int32 [tokens, k'].
        d_sae: number of latents.
    """

    values: Tensor
    latents: Tensor
    d_sae: int

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each latent fires, float64 [d_sae]."""
        fired = self.latents[self.values > 0].long()
        return torch.bincount(fired, minlength=self.d_sae).double().div(max(1, len(self.values))).cpu().numpy()


@dataclass(frozen=True)
class CodedText:
    """Tokens with the codes of several SAEs.

    Attributes:
        rows: contexts, int64 [≤ context], BOS first.
        owners: int64 [tokens], place in `rows` of each token, in no order.
        positions: int64 [tokens], position in its context.
        codes: of each SAE, in the order given.
    """

    rows: Sequence[np.ndarray]
    owners: np.ndarray
    positions: np.ndarray
    codes: list[Codes]


@dataclass(frozen=True)
class InTurn:
    """SAEs that are loaded or made one after another, each time that they are gone through."""

    loads: Sequence[Callable[[], Autoencoder]]

    def __iter__(self) -> Iterator[Autoencoder]:
        return (load() for load in self.loads)


@torch.no_grad()
def code_text(
    model: TruncatedModel,
    saes: Iterable[Autoencoder],
    rows: Sequence[np.ndarray],
    ordinary: np.ndarray,
    report: Tally = uncounted,
    beside: Beside | None = None,
) -> CodedText:
    """Codes of all SAEs on the contexts, from one forward pass; 8 bytes per token, active latent and SAE are kept.

    Args:
        model: reads the contexts, which give activations.
        saes: gone through once per 128 MiB of activations (512 with a GPU), one SAE at a time.
        rows: contexts, int64 [≤ context], BOS first.
        ordinary: bool [vocab], False for special ids.
        report: told the contexts read and their number.
        beside: what else is made of activations and codes while an SAE is here.
    """
    owners, positions = [], []
    pieces: dict[int, list[tuple[Tensor, Tensor]]] = {}
    widths: dict[int, int] = {}
    most = HELD_BYTES.get(model.device.type, HELD_BYTES["cpu"])
    for some in _held_together(activations_of(model, rows, ordinary, report), most):
        trim_memory()
        owners += [who for who, _, _ in some]
        positions += [where for _, where, _ in some]
        place = 0  # counted by hand: `enumerate` would hold an SAE while the next one is loaded
        for sae in saes:
            here = sae.to(device=model.device)
            found = [here.encode_sparse(h.to(model.device)) for _, _, h in some]
            pieces.setdefault(place, []).extend(
                (values.float().cpu(), latents.int().cpu()) for values, latents in found
            )
            if beside is not None:
                for (_, _, h), (values, latents) in zip(some, found, strict=True):
                    beside(place, here, h.to(model.device), values, latents)
            widths[place] = here.d_sae
            place += 1  # noqa: SIM113
            del sae, here  # so that the next one is loaded when this one is gone
        del some
    codes = []
    for place, kept in pieces.items():
        width = max(values.shape[1] for values, _ in kept)
        values, latents = (
            torch.cat([torch.nn.functional.pad(one[side], (0, width - one[side].shape[1])) for one in kept])
            for side in (0, 1)
        )
        codes.append(Codes(values, latents, widths[place]))
    return CodedText(rows, np.concatenate(owners), np.concatenate(positions), codes)


def _held_together(pieces: Iterable[Activations], most: int) -> Iterator[list[Activations]]:
    """Pieces of activations, together till they are `most` bytes; on the CPU."""
    held: list[Activations] = []
    for owners, positions, h in pieces:
        held.append((owners, positions, h.cpu()))
        if sum(one.nbytes for _, _, one in held) >= most:
            yield held
            held = []
    if held:
        yield held
