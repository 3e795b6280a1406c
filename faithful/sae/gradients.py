"""Gradients of encoder and decoder rows from sparse codes, piece by piece of the latents."""

from typing import NamedTuple

from torch import Tensor

from faithful.sae.adam import project_tangent
from faithful.sae.buffers import PIECE, chunks
from faithful.sae.sparse import ByLatent, latent_sums, latent_sums_csr


class Backward(NamedTuple):
    """What one batch hands back to the rows.

    Attributes:
        codes: the codes by latent.
        d_values: [C], gradient of each sorted code; 0 where the ReLU zeroed it.
        values: [C], the sorted codes.
        centred: [N, d], the encoder's input.
        d_out: [N, d], gradient of the reconstructions.
    """

    codes: ByLatent
    d_values: Tensor
    values: Tensor
    centred: Tensor
    d_out: Tensor


def row_gradients(back: Backward, W_dec: Tensor, d_enc: Tensor, d_dec: Tensor, *, add: bool, atomics: bool) -> None:
    """Fill the gradients of encoder rows and of decoder rows, the latter without their part along the unit row.

    Args:
        back: one batch.
        W_dec: [F, d], unit rows.
        d_enc, d_dec: [F, d], where the gradients go.
        add: add to what is there before the projection; otherwise what is there is not read.
        atomics: use the library's sparse product, which on a GPU sums in no fixed order.
    """
    sums = latent_sums_csr if atomics else latent_sums
    codes, last = back.codes, len(back.values)
    pieces = chunks(len(W_dec), PIECE // W_dec.shape[1], W_dec.device)
    borders = [0, last] if len(pieces) == 1 else [*codes.starts[:: pieces[0].stop].tolist(), last]
    for piece, begin, end in zip(pieces, borders, borders[1:], strict=False):
        tokens, starts = codes.tokens[begin:end], codes.starts[piece.start : piece.stop + 1] - begin
        encoder = sums(tokens, starts, back.d_values[begin:end], back.centred)
        decoder = sums(tokens, starts, back.values[begin:end], back.d_out)
        if add:
            encoder += d_enc[piece]
            decoder += d_dec[piece]
        d_enc[piece] = encoder
        project_tangent(decoder, W_dec[piece], out=d_dec[piece])
