"""What pairs of decoder rows have in common beyond what is allowed, and how well conditioned groups of them are."""

import numpy as np
import torch
from torch import Tensor


def excess_overlap(W_dec: Tensor, groups: Tensor, alpha: Tensor | float, sample: Tensor) -> Tensor:
    """Mean over rows of the sum over all others of max(|cos| − α_ij, 0)², estimated from a sample of rows without bias.

    α_ij is `alpha` for two rows of one group, else 0. F > d rows cannot all be orthogonal: the sum of squared cosines is at
    least F²/d − F (Welch 1974).

    Args:
        W_dec: [F, d], differentiable.
        groups: int64 [F]; −1 is in no group.
        alpha: in [0, 1).
        sample: int64 [m], distinct latents, m of at least 2.

    Returns:
        [].
    """
    rows = torch.nn.functional.normalize(W_dec.index_select(0, sample), dim=1)
    labels = groups[sample]
    is_shared = (labels[:, None] == labels[None, :]) & (labels >= 0)[:, None]
    # The gradient through one side of the symmetric product is half of all: doubled, it costs one product instead of two.
    excess = torch.relu((rows @ rows.detach().T).abs() - alpha * is_shared)
    excess = excess.masked_fill(torch.eye(len(sample), dtype=torch.bool, device=rows.device), 0)
    mean = excess.square().sum() / len(sample) * ((len(W_dec) - 1) / (len(sample) - 1))
    return 2 * mean - mean.detach()


def sample_of(d_sae: int, most: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """At most so many latents, int64, drawn without replacement."""
    if d_sae <= most:
        return torch.arange(d_sae, device=device)
    return torch.from_numpy(np.sort(generator.choice(d_sae, most, replace=False))).to(device)


def conditions(W_dec: Tensor, groups: Tensor) -> Tensor:
    """Condition number of W_g W_gᵀ over what random rows of the size have at most, for each group that allows it: [G'].

    Random unit rows of size/d = γ < 1 have about ((1 + √γ)/(1 − √γ))² (Marchenko and Pastur 1967). Groups of one latent,
    or of at least as many as dimensions, have none.
    """
    found = []
    for group in range(int(groups.max()) + 1):
        rows = W_dec[groups == group].double()
        size, d_in = rows.shape
        if not 2 <= size < d_in:
            continue
        gram = rows @ rows.T
        if not bool(torch.isfinite(gram).all()):  # the cell has diverged, which is told of its loss
            continue
        values = torch.linalg.eigvalsh(gram).clamp_min(1e-12)
        root = (size / d_in) ** 0.5
        found.append(values[-1] / values[0] / ((1 + root) / (1 - root)) ** 2)
    return torch.stack(found) if found else W_dec.new_zeros(0, dtype=torch.float64)
