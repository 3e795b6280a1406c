"""Adam with clipping, held against the library's."""

import pytest
import torch

from faithful.sae.adam import clip_and_step


def test_adam_equals_the_library() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(7, 5, generator=generator), torch.randn(5, generator=generator)]
    theirs = [tensor.clone().requires_grad_() for tensor in ours]
    first, second = ([torch.zeros_like(tensor) for tensor in ours] for _ in range(2))
    adam = torch.optim.Adam(theirs, betas=(0.9, 0.99), eps=1e-9)
    for step in range(1, 20):
        gradients = [torch.randn(tensor.shape, generator=generator) * 10.0 ** (step % 3 - 2) for tensor in ours]
        for tensor, gradient in zip(theirs, gradients, strict=True):
            tensor.grad = gradient.clone()
        expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        adam.param_groups[0]["lr"] = 1e-2 / step
        adam.step()
        steps = torch.tensor(float(step))
        norm = clip_and_step(
            ours, gradients, first, second, steps, lr=1e-2 / step, betas=(0.9, 0.99), eps=1e-9, clip=1.0
        )
        assert float(norm) == pytest.approx(float(expected), rel=1e-6)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=0, atol=1e-6)
