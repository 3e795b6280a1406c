"""AuxK: dead latents learn to explain what the living ones leave over (Gao et al. 2024, A.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from faithful.sae.buffers import SCORES, chunks


class Revival(NamedTuple):
    """The AuxK loss of one cell and its gradients, which reach the dead latents' weights only, not the decoder bias.

    Attributes:
        loss: [], before its weight.
        latents: [D], the dead ones.
        rows_enc, b_enc, rows_dec: [D, d], [D], [D, d]: gradients of the weighted loss.
    """

    loss: Tensor
    latents: Tensor
    rows_enc: Tensor
    b_enc: Tensor
    rows_dec: Tensor


class Dead:
    """Which latents of a cell are dead; on a GPU the count travels to the host while the step goes on."""

    def __init__(self, mask: Tensor) -> None:
        self.mask, self.event = mask, None
        count = mask.sum()
        if mask.is_cuda:
            self.count = torch.empty((), dtype=count.dtype, pin_memory=True).copy_(count, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()
        else:
            self.count = count

    def latents(self, gate: Tensor | None = None) -> Tensor | None:
        """Those in the gate in ascending order, None where there are none; on a GPU waits for their count."""
        if self.event is not None:
            self.event.synchronize()
        count = int(self.count)
        found = self.mask.byte().sort(descending=True, stable=True).indices[:count] if count else None
        if found is None or gate is None:
            return found
        found = found[gate[found]]
        return found if len(found) else None


class DeadLatents(NamedTuple):
    """The dead latents of a cell and what they could say about a batch.

    Attributes:
        latents: [D], int64, ascending.
        scores: [N, D], their pre-activations.
    """

    latents: Tensor
    scores: Tensor


def revive(
    dead: DeadLatents,
    W_dec: Tensor,
    error: Tensor,
    centred: Tensor,
    k: int,
    weight: float,
    matmul: Callable[[Tensor, Tensor], Tensor],
) -> Revival:
    """Σ‖e − ê‖² / Σ‖e − mean(e)‖² for the residual e = x − x̂, held constant, and ê = ReLU(TopK(scores)) · rows.

    Args:
        dead: the dead latents; their scores are overwritten.
        W_dec: [F, d], decoder rows.
        error: [N, d], x̂ − x.
        centred: [N, d], the encoder's input.
        k: dead latents used per token; all, where there are fewer.
        weight: of the loss.
        matmul: the dense product.
    """
    rows, variance = W_dec[dead.latents], spread(error)
    rows_enc, rows_dec = torch.zeros_like(rows), torch.zeros_like(rows)
    loss, b_enc = rows.new_zeros(()), rows.new_zeros(len(rows))
    for part in chunks(len(error), SCORES // len(rows), rows.device):
        codes = dead.scores[part]
        if k < len(rows):
            values, indices = codes.topk(k, dim=1, sorted=False)
            codes.zero_().scatter_(1, indices, values)
        codes.relu_()
        d_out = matmul(codes, rows).add_(error[part])
        loss += d_out.square().sum() / variance
        d_out.mul_(2 * weight / variance)
        d_codes = matmul(d_out, rows.T).mul_(codes > 0)
        rows_dec += matmul(codes.T, d_out)
        rows_enc += matmul(d_codes.T, centred[part])
        b_enc += d_codes.sum(0)
    return Revival(loss, dead.latents, rows_enc, b_enc, rows_dec)


def spread(x: Tensor) -> Tensor:
    """Σ‖x − mean(x)‖² over rows [N, d], the mean per dimension; never 0."""
    return torch.linalg.vector_norm(x - x.mean(0)).square().clamp_min(torch.finfo(x.dtype).tiny)
