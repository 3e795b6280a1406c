"""Gradients where the first latents are to reconstruct the activations alone: Matryoshka SAEs (Bussmann et al. 2025)."""

from itertools import pairwise

import torch
from torch import Tensor

from faithful.sae.codes import Gradients
from faithful.sae.variant import Batch


def nested(
    batch: Batch, borders: tuple[int, ...], extra: Tensor | None, into: Gradients
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the mean over prefixes of ‖x − x̂ of the first latents‖² / variance.

    A latent is in every prefix that ends behind it, so the gradient of the reconstructions that reaches a group of latents
    is the sum of those of the prefixes from there on.

    Args:
        batch: of one cell.
        borders: numbers of latents of each prefix, ascending, all last.
        extra: more gradients of the codes, in the shape of their values.
        into: where the rows' gradients go.

    Returns:
        Gradients of the encoder's biases [F] and of the reconstructions [N, d], those of all prefixes added, and the loss [].
    """
    groups = [slice(first, last) for first, last in pairwise((0, *borders))]
    parts = [batch.codes.of(group) for group in groups]
    errors: list[Tensor] = []
    for group, (codes, _) in zip(groups, parts, strict=True):
        error = torch.empty_like(batch.x)
        codes.error(batch.W_dec[group], -errors[-1] if errors else batch.x, error)
        errors.append(error)
    loss = torch.stack([torch.linalg.vector_norm(error).square() for error in errors]).mean() / batch.variance
    d_out, d_b_enc = torch.zeros_like(batch.x), torch.zeros_like(batch.b_enc)
    for group, (codes, places), error in zip(reversed(groups), reversed(parts), reversed(errors), strict=True):
        d_out.add_(error * (2 / (len(groups) * batch.variance)))
        rows = batch.W_dec[group]
        d_values = codes.dots(d_out, rows)
        if extra is not None:
            d_values = d_values + extra[places].view_as(d_values)
        d_values = d_values * (codes.values > 0)
        d_b_enc[group] = codes.backward(d_values, batch.x, d_out, rows, into.of(group))
    return d_b_enc, d_out, loss
