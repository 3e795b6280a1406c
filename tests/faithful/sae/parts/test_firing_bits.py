"""Firing as bits counts what booleans count."""

import torch

from faithful.sae.parts.firing_bits import empty_bits, joint_popcounts, pack, popcounts, push


def firing(blocks: int, d_sae: int = 11) -> torch.Tensor:
    return torch.rand(blocks, d_sae, generator=torch.Generator().manual_seed(blocks)) < 0.3


def test_counts_alone_and_together() -> None:
    fired = firing(37)
    bits = pack(fired)
    assert bits.shape == (11, 5) and bits.dtype == torch.uint8
    assert torch.equal(popcounts(bits), fired.sum(0))
    assert torch.equal(joint_popcounts(bits[:4], bits), (fired.float().T @ fired.float())[:4])


def test_the_oldest_blocks_are_forgotten() -> None:
    bits = empty_bits(11, 32, torch.device("cpu"))
    parts = [firing(16), firing(8), firing(16)]
    for part in parts:
        push(bits, pack(part))
    kept = torch.cat(parts)[-32:]
    assert torch.equal(popcounts(bits), kept.sum(0))
    push(bits, pack(firing(64)))
    assert torch.equal(popcounts(bits), firing(64)[-32:].sum(0))
