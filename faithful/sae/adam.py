"""One clipped Adam step of one cell, in as few passes over memory as there are."""

import torch
from torch import Tensor


def clip_and_step(
    weights: list[Tensor],
    gradients: list[Tensor],
    adam_m: list[Tensor],
    adam_v: list[Tensor],
    steps: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    clip: float,
) -> Tensor:
    """Scale the gradients to a norm of at most `clip` and step; all tensors are of one cell and change in place.

    Args:
        weights, gradients, adam_m, adam_v: alike in number and shape, float32.
        steps: [], float32, steps made, this one included.
        lr, betas, eps: of Adam.
        clip: largest norm of all gradients together.

    Returns:
        [], the norm before clipping.
    """
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    torch._fused_adam_(
        weights,
        gradients,
        adam_m,
        adam_v,
        [],
        [steps] * len(weights),
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=0.0,
        eps=eps,
        amsgrad=False,
        maximize=False,
        grad_scale=((norm + 1e-6) / clip).clamp_min(1.0),
        found_inf=None,
    )
    return norm


def project_tangent(gradient: Tensor, rows: Tensor, out: Tensor) -> None:
    """Write the gradient [F, d] without its components along unit rows [F, d] to `out`."""
    torch.addcmul(gradient, rows, torch.linalg.vecdot(gradient, rows)[:, None], value=-1, out=out)


def normalise(rows: Tensor) -> None:
    """Give rows [F, d] unit norm, in place."""
    rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True))
