"""One bit per latent and block of tokens: whether it fired there. Eight blocks are a byte; counts are popcounts."""

import torch
from torch import Tensor

POPCOUNTS = torch.tensor([value.bit_count() for value in range(256)], dtype=torch.int64)
PIECE = 2**24


def empty_bits(d_sae: int, blocks: int, device: torch.device) -> Tensor:
    """Bits of no firing, uint8 [F, blocks/8 rounded up]."""
    return torch.zeros(d_sae, -(-blocks // 8), dtype=torch.uint8, device=device)


def pack(fired: Tensor) -> Tensor:
    """Bits of firing: bool [B, F] → uint8 [F, B/8 rounded up]."""
    blocks, d_sae = fired.shape
    padded = fired.new_zeros(-(-blocks // 8) * 8, d_sae)
    padded[:blocks] = fired
    powers = _powers(fired.device)
    return (
        (padded.unflatten(0, (-1, 8)).to(torch.uint8) * powers[None, :, None]).sum(1, dtype=torch.uint8).T.contiguous()
    )


def push(bits: Tensor, latest: Tensor) -> None:
    """Forget the oldest bytes [F, W] and add the latest, in place."""
    count = min(latest.shape[1], bits.shape[1])
    bits.copy_(torch.cat([bits[:, count:], latest[:, -count:]], 1))


def popcounts(bits: Tensor) -> Tensor:
    """In how many blocks each latent fired, int64 [F]."""
    return POPCOUNTS.to(bits.device)[bits.long()].sum(1)


def joint_popcounts(one: Tensor, other: Tensor) -> Tensor:
    """In how many blocks two latents fired both: uint8 [A, W] and [B, W] → float32 [A, B]."""
    joint = torch.zeros(len(one), len(other), device=one.device)
    width = max(1, PIECE // max(1, 8 * (len(one) + len(other))))
    for start in range(0, one.shape[1], width):
        left, right = (_unpacked(bits[:, start : start + width]) for bits in (one, other))
        joint.addmm_(left, right.T)
    return joint


def _unpacked(bits: Tensor) -> Tensor:
    return ((bits[:, :, None] & _powers(bits.device)) > 0).flatten(1).float()


def _powers(device: torch.device) -> Tensor:
    return (2 ** torch.arange(8, device=device)).to(torch.uint8)
