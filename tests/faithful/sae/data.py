"""A small stack's settings, and batches for stacks."""

import torch
from torch import Tensor

from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack

CONFIG = StackConfig(d_in=24, d_sae=96, k=4, init_seeds=(0,), steps=20, lr=2e-3, dead_tokens=10**9)


def batches(count: int, tokens: int, d_in: int, seed: int = 0) -> list[Tensor]:
    """Sparse mixtures of more directions than dimensions, with a mean and another scale: [tokens, d_in] each."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(2 * d_in, d_in, generator=generator), dim=1)
    mean = torch.randn(d_in, generator=generator)

    def batch() -> Tensor:
        amounts = 2 * torch.relu(torch.randn(tokens, 2 * d_in, generator=generator) - 1.2)
        return 3 * (amounts @ directions + mean + 0.05 * torch.randn(tokens, d_in, generator=generator))

    return [batch() for _ in range(count)]


def moments(x: Tensor) -> tuple[Tensor, float]:
    """Mean and scale that a stack is set up with."""
    return x.mean(0), float(1 / x.square().sum(1).mean().sqrt())


def stack_for(config: StackConfig, x: Tensor) -> Stack:
    """A stack on the CPU, set up from a first batch."""
    return Stack(config, *moments(x), "cpu")


def trained(config: StackConfig, data: list[Tensor]) -> Stack:
    """A stack after a step on each batch."""
    stack = stack_for(config, data[0])
    for x in data:
        stack.step(x)
    return stack
