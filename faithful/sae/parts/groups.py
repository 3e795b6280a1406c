"""Groups of latents that fire together: spectral clustering (Ng, Jordan and Weiss 2001) of their co-firing."""

import numpy as np
import torch
from torch import Tensor

from faithful.sae.parts.firing_bits import joint_popcounts, popcounts

MOST = 4096
ROUNDS = 25
EXACT, MARGIN, SWEEPS = 1024, 16, 40


def groups_by_firing(bits: Tensor, groups: int, generator: np.random.Generator) -> Tensor:
    """A group of each latent from its firing bits.

    Beyond 4,096 latents the most frequent so many are grouped, and each other one joins the group that it fires most with, so
    that no matrix of all pairs is held.

    Args:
        bits: uint8 [F, W], see `firing_bits`.
        groups: how many.
        generator: of the first centres.

    Returns:
        int64 [F], on the device of the bits: 0 to groups − 1, or −1 of a latent that fired with none that is grouped.
    """
    frequency = popcounts(bits)
    order = torch.argsort(frequency, descending=True, stable=True)
    core = order[: min(MOST, int((frequency > 0).sum()))]
    labels = torch.full((len(bits),), -1, dtype=torch.int64, device=bits.device)
    if len(core) <= groups:
        labels[core] = torch.arange(len(core), device=bits.device)
        return labels
    joint = joint_popcounts(bits[core], bits[core])
    found = spectral_groups(joint.cpu(), groups, generator).to(bits.device)
    labels[core] = found
    rest = order[len(core) :]
    rest = rest[frequency[rest] > 0]
    members = torch.nn.functional.one_hot(found, groups).float()
    for part in rest.split(MOST):
        together = joint_popcounts(bits[part], bits[core]) @ (members / members.sum(0).clamp_min(1))
        labels[part] = torch.where(together.amax(1) > 0, together.argmax(1), -1)
    return labels


def spectral_groups(joint: Tensor, groups: int, generator: np.random.Generator) -> Tensor:
    """Groups of M latents from how often two fire both, [M, M] with their own counts on the diagonal: int64 [M].

    The affinity is the cosine of their firing; rows of the leading eigenvectors of its normalised form are clustered by
    k-means.
    """
    alone = joint.diagonal().clamp_min(1).sqrt()
    affinity = (joint / alone[:, None] / alone[None, :]).double().fill_diagonal_(0)
    degree = affinity.sum(1).clamp_min(1e-9).rsqrt()
    vectors = _leading(affinity * degree[:, None] * degree[None, :], groups, generator)
    points = torch.nn.functional.normalize(vectors, dim=1)
    centres = _first_centres(points, groups, generator)
    labels = torch.cdist(points, centres).argmin(1)
    for _ in range(ROUNDS):
        members = torch.nn.functional.one_hot(labels, groups).double()
        sizes = members.sum(0)
        centres = torch.where(sizes[:, None] > 0, members.T @ points / sizes.clamp_min(1)[:, None], centres)
        moved = torch.cdist(points, centres).argmin(1)
        if torch.equal(moved, labels):
            break
        labels = moved
    return labels


def _leading(matrix: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """Eigenvectors [M, count] of the largest eigenvalues of a symmetric matrix whose eigenvalues are from −1 to 1.

    Those of large matrices by subspace iteration, which tells vectors of nearly equal eigenvalues apart less well, as k-means
    of their rows does not need.
    """
    width = count + MARGIN
    if len(matrix) <= max(EXACT, width):
        return torch.linalg.eigh(matrix).eigenvectors[:, -count:]
    half = matrix.float()
    block = torch.from_numpy(generator.standard_normal((len(matrix), width), np.float32))
    for _ in range(SWEEPS):
        block = torch.linalg.qr(half @ block + block).Q
    block = torch.linalg.qr(block.double()).Q
    return block @ torch.linalg.eigh(block.T @ matrix @ block).eigenvectors[:, -count:]


def _first_centres(points: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """k-means++: each next centre is a point, drawn by its squared distance from those before."""
    chosen = [int(generator.integers(len(points)))]
    nearest = torch.cdist(points, points[chosen]).square().amin(1)
    for _ in range(count - 1):
        weights = nearest.numpy() + 1e-12
        chosen.append(int(generator.choice(len(points), p=weights / weights.sum())))
        nearest = torch.minimum(nearest, torch.cdist(points, points[chosen[-1:]]).square().amin(1))
    return points[chosen]
