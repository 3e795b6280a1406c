"""Places where activations are read and replaced, and what passes a layer on a few tokens."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from faithful.base.errors import FaithfulError
from faithful.hooks.hook_points import FEW_TOKENS, HookPoint, decoder_layers, trace_layer
from faithful.models.spec import ModelSpec

Model = Callable[[str], tuple[ModelSpec, Any]]


class Many(nn.Module):
    """A layer that hands on more than the stream, by position or by name."""

    def forward(self, hidden_states: Tensor, other: int = 0) -> tuple[Tensor, int]:
        return hidden_states * 2, other


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("side", ["input", "output"])
def test_an_activation_is_read_and_replaced_and_the_rest_left_alone(side: str, by_name: bool) -> None:
    layer, x, seen = Many(), torch.ones(1, 3, 4), []

    def change(h: Tensor) -> Tensor:
        seen.append(h)
        return h + 1

    def call() -> tuple[Tensor, int]:
        return layer(hidden_states=x, other=7) if by_name else layer(x, 7)

    handle = HookPoint("h.0", layer, side).on(change)
    h, other = call()
    assert other == 7
    assert torch.equal(h, (x + 1) * 2 if side == "input" else x * 2 + 1)
    assert torch.equal(seen[0], x if side == "input" else x * 2)
    handle.remove()
    assert torch.equal(call()[0], x * 2) and len(seen) == 1


def test_factor_and_centring_are_of_what_is_read_and_undone_in_what_is_written() -> None:
    layer, x, seen = nn.Identity(), torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0)), []
    point = HookPoint("h.0.mlp", layer, "output", factor=0.5, centred=True)
    assert point.name == "h.0.mlp.output × 0.5" and HookPoint("h.0", layer, "input").name == "h.0.input"
    point.on(lambda h: seen.append(h)).remove()
    with_hook = point.on(lambda h: (seen.append(h), torch.full_like(h, 3.0))[1])
    assert torch.equal(layer(x), torch.full_like(x, 6.0))
    with_hook.remove()
    torch.testing.assert_close(seen[0], 0.5 * x - (0.5 * x).mean(-1, keepdim=True))


def test_the_layers_are_the_one_list_of_their_number(family: str, family_model: Model) -> None:
    model = family_model(family)[1]
    path, layers = decoder_layers(model)
    assert model.get_submodule(path) is layers
    assert len(layers) == model.config.get_text_config(decoder=True).num_hidden_layers


def test_a_model_of_another_layout_is_refused(family_model: Model) -> None:
    model = family_model("gpt2")[1]
    odd = nn.Module()
    odd.config = model.config
    odd.one, odd.two = (nn.ModuleList([nn.Identity() for _ in model.transformer.h]) for _ in range(2))
    with pytest.raises(FaithfulError, match=r"2 lists of \d+ layers"):
        decoder_layers(odd)


def test_what_leaves_a_layer_is_what_enters_the_next(family: str, family_model: Model) -> None:
    model = family_model(family)[1]
    first, last = trace_layer(model, 0), trace_layer(model, len(decoder_layers(model)[1]) - 1)
    assert first.before.shape[1] == FEW_TOKENS
    assert first.following is not None and torch.equal(first.after, first.following)
    assert last.following is None and not torch.equal(last.before, last.after)
    assert first.outputs and all(one.shape[-1] == first.after.shape[-1] for one in first.outputs.values())
