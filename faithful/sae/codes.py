"""The codes of one batch and one cell: a list where few latents fire, a matrix where many may; both say the same.

N tokens, F latents, d dimensions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from faithful.sae.adam import project_tangent
from faithful.sae.buffers import PIECE, chunks
from faithful.sae.sparse import bag_sums, bag_sums_csr, by_latent, row_dots, scalar_sums, tokens_of


@dataclass(frozen=True)
class Gradients:
    """Where the gradients of a cell's rows are put.

    Attributes:
        d_enc, d_dec: [F, d].
        add: add to what is there; otherwise what is there is not read.
        tangent: leave out the part along the decoder's unit rows.
        atomics: use the library's sparse product, which on a GPU sums in no fixed order.
    """

    d_enc: Tensor
    d_dec: Tensor
    add: bool
    tangent: bool
    atomics: bool

    def of(self, latents: slice) -> "Gradients":
        """The place of some latents."""
        return Gradients(self.d_enc[latents], self.d_dec[latents], self.add, self.tangent, self.atomics)

    def put(self, piece: slice, encoder: Tensor, decoder: Tensor, W_dec: Tensor) -> None:
        """Put gradients [P, d] of a piece of the latents there."""
        if self.add:
            encoder += self.d_enc[piece]
            decoder += self.d_dec[piece]
        self.d_enc[piece] = encoder
        if self.tangent:
            project_tangent(decoder, W_dec[piece], out=self.d_dec[piece])
        else:
            self.d_dec[piece] = decoder


class Codes(ABC):
    """What fires in a batch.

    Attributes:
        values: ≥ 0, float32; those of 0 have no gradient.
    """

    values: Tensor

    @abstractmethod
    def of_values(self, values: Tensor) -> "Codes":
        """The same latents with other values."""

    @abstractmethod
    def error(self, W_dec: Tensor, centred: Tensor, out: Tensor) -> None:
        """Write x̂ − x to `out` [N, d]: rows [F, d] weighted by the codes, less `centred` [N, d]."""

    @abstractmethod
    def dots(self, d_out: Tensor, W_dec: Tensor) -> Tensor:
        """Scalar products of each code's token of `d_out` [N, d] with its latent's row, in the shape of `values`."""

    @abstractmethod
    def of(self, latents: slice) -> tuple["Codes", Tensor]:
        """The codes of a range of latents, numbered from its first, and their places among all, to index `values`."""

    @abstractmethod
    def counts(self, d_sae: int) -> Tensor:
        """In how many tokens each latent fires, [F], int64."""

    @abstractmethod
    def energies(self, d_sae: int) -> Tensor:
        """Sum over tokens of each latent's squared code, [F]."""

    @abstractmethod
    def fired_in(self, block: int, d_sae: int) -> Tensor:
        """Which latents fire in each block of so many tokens, bool [B, F]; what is left behind the last is not looked at."""

    @abstractmethod
    def dense(self, d_sae: int) -> Tensor:
        """As a matrix [N, F]."""

    @abstractmethod
    def backward(self, d_values: Tensor, centred: Tensor, d_out: Tensor, W_dec: Tensor, into: Gradients) -> Tensor:
        """Fill the gradients of encoder and decoder rows.

        Args:
            d_values: gradient of each code; 0 where the ReLU zeroed it.
            centred: [N, d], the encoder's input.
            d_out: [N, d], gradient of the reconstructions.
            W_dec: [F, d].
            into: where they go.

        Returns:
            [F], gradients of the encoder's biases.
        """


@dataclass(frozen=True)
class SparseCodes(Codes):
    """Codes token by token.

    Attributes:
        values: [C].
        latents: [C], int64.
        starts: [N + 1], where each token's codes begin.
    """

    values: Tensor
    latents: Tensor
    starts: Tensor

    def of_values(self, values: Tensor) -> "SparseCodes":
        """See `Codes`."""
        return SparseCodes(values, self.latents, self.starts)

    def error(self, W_dec: Tensor, centred: Tensor, out: Tensor) -> None:
        """See `Codes`; piece by piece of the tokens, which stay in the cache."""
        for part, begin, end in _pieces(self.starts, len(self.values), PIECE // W_dec.shape[1]):
            starts = self.starts[part.start : part.stop + 1] - begin
            made = bag_sums(self.latents[begin:end], starts, self.values[begin:end], W_dec)
            torch.sub(made, centred[part], out=out[part])

    def dots(self, d_out: Tensor, W_dec: Tensor) -> Tensor:
        """See `Codes`."""
        return row_dots(d_out, W_dec, self.latents, self.starts)

    def of(self, latents: slice) -> tuple["SparseCodes", Tensor]:
        """See `Codes`."""
        inside = (self.latents >= latents.start) & (self.latents < latents.stop)
        starts = torch.cat([inside.new_zeros(1, dtype=torch.int64), inside.cumsum(0)])[self.starts]
        return SparseCodes(self.values[inside], self.latents[inside] - latents.start, starts), inside

    def counts(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        counts = torch.zeros(d_sae, dtype=torch.int64, device=self.values.device)
        return counts.index_add_(0, self.latents, (self.values > 0).long())

    def energies(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        codes = by_latent(self.latents, self.starts, d_sae)
        return scalar_sums(codes.starts, self.values.square()[codes.order])

    def fired_in(self, block: int, d_sae: int) -> Tensor:
        """See `Codes`."""
        blocks = (len(self.starts) - 1) // block
        place = (
            torch.div(tokens_of(self.starts, len(self.latents)), block, rounding_mode="floor") * d_sae + self.latents
        )
        counts = torch.zeros((blocks + 1) * d_sae, dtype=torch.int32, device=place.device)
        counts.index_add_(0, place, (self.values > 0).int())
        return counts[: blocks * d_sae].view(blocks, d_sae) > 0

    def dense(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        tokens = tokens_of(self.starts, len(self.latents))
        return self.values.new_zeros(len(self.starts) - 1, d_sae).index_put((tokens, self.latents), self.values)

    def backward(self, d_values: Tensor, centred: Tensor, d_out: Tensor, W_dec: Tensor, into: Gradients) -> Tensor:
        """See `Codes`. Codes are sorted by latent: each row is one sum in an order that nothing else decides, so that its
        bits are the same in any grid."""
        sums = bag_sums_csr if into.atomics else bag_sums
        codes = by_latent(self.latents, self.starts, len(W_dec))
        d_ordered, ordered = d_values[codes.order], self.values[codes.order]
        for piece, begin, end in _pieces(codes.starts, len(ordered), PIECE // W_dec.shape[1]):
            tokens, starts = codes.tokens[begin:end], codes.starts[piece.start : piece.stop + 1] - begin
            encoder = sums(tokens, starts, d_ordered[begin:end], centred)
            decoder = sums(tokens, starts, ordered[begin:end], d_out)
            into.put(piece, encoder, decoder, W_dec)
        return scalar_sums(codes.starts, d_ordered)


@dataclass(frozen=True)
class DenseCodes(Codes):
    """Codes of every latent.

    Attributes:
        values: [N, F].
    """

    values: Tensor

    def of_values(self, values: Tensor) -> "DenseCodes":
        """See `Codes`."""
        return DenseCodes(values)

    def error(self, W_dec: Tensor, centred: Tensor, out: Tensor) -> None:
        """See `Codes`."""
        torch.addmm(centred, self.values, W_dec, beta=-1, out=out)

    def dots(self, d_out: Tensor, W_dec: Tensor) -> Tensor:
        """See `Codes`."""
        return d_out @ W_dec.T

    def of(self, latents: slice) -> tuple["DenseCodes", Tensor]:
        """See `Codes`."""
        inside = torch.zeros_like(self.values, dtype=torch.bool)
        inside[:, latents] = True
        return DenseCodes(self.values[:, latents]), inside

    def counts(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        return (self.values > 0).sum(0)

    def energies(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        return self.values.square().sum(0)

    def fired_in(self, block: int, d_sae: int) -> Tensor:
        """See `Codes`."""
        whole = len(self.values) // block * block
        return (self.values[:whole] > 0).unflatten(0, (-1, block)).any(1)

    def dense(self, d_sae: int) -> Tensor:
        """See `Codes`."""
        return self.values

    def backward(self, d_values: Tensor, centred: Tensor, d_out: Tensor, W_dec: Tensor, into: Gradients) -> Tensor:
        """See `Codes`."""
        into.put(slice(0, len(W_dec)), d_values.T @ centred, self.values.T @ d_out, W_dec)
        return d_values.sum(0)


def _pieces(starts: Tensor, count: int, size: int) -> Iterator[tuple[slice, int, int]]:
    """Slices of at most `size` bags, and where the codes of each begin and end."""
    pieces = chunks(len(starts) - 1, size, starts.device)
    borders = [0, count] if len(pieces) == 1 else [*starts[:: pieces[0].stop].tolist(), count]
    return zip(pieces, borders, borders[1:], strict=False)
