"""The truncated model gives the full model's hidden states and runs nothing above the hook."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import KINDS, Hook
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.padding import pad
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from tests.families import LAYERS

Models = Callable[[str], tuple[ModelSpec, Any]]
WRITES = {
    "gpt2": ("attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
    "llama": ("self_attn", "mlp"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "mistral": ("self_attn", "mlp"),
}


def some_ids(spec: ModelSpec, rows: int, length: int) -> Tensor:
    return torch.randint(5, spec.mapped - 1, (rows, length), generator=torch.Generator().manual_seed(3))


def assert_same(family: str, found: Tensor, expected: Tensor) -> None:
    """Equal to the bit; for GPT-2, whose GELU runs as one kernel, up to rounding."""
    if family == "gpt2":
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(found, expected)


def outputs(model: Any, ids: Tensor, modules: list[Module]) -> list[Tensor]:
    """What modules of the full model give, by forward hooks."""
    found: dict[int, Tensor] = {}

    def keep(place: int) -> Any:
        def hook(_: Module, __: Any, output: Any) -> None:
            found[place] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [module.register_forward_hook(keep(place)) for place, module in enumerate(modules)]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return [found[place] for place in range(len(modules))]


@contextmanager
def calls_of(modules: list[Module]) -> Iterator[list[int]]:
    """How often each module is called."""
    counts = [0] * len(modules)

    def count(place: int) -> Any:
        def hook(*_: Any) -> None:
            counts[place] += 1

        return hook

    handles = [module.register_forward_pre_hook(count(place)) for place, module in enumerate(modules)]
    yield counts
    for handle in handles:
        handle.remove()


def test_the_residual_equals_the_hidden_states_of_the_full_model(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 3, 20)
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
    for layer in range(LAYERS):
        before = TruncatedModel(model, Hook(layer, "resid_pre"))
        assert_same(family, before(ids), states[layer])
        assert before.d_in == states[layer].shape[-1]
    for layer in range(LAYERS - 1):
        assert_same(family, TruncatedModel(model, Hook(layer, "resid_post"))(ids), states[layer + 1])


def test_the_last_residual_has_no_final_norm(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 2, 12)
    last = TruncatedModel(model, Hook(LAYERS - 1, "resid_post"))(ids)
    (expected,) = outputs(model, ids, [decoder_layers(model)[1][-1]])
    assert_same(family, last, expected)
    with torch.no_grad():
        normed = model(ids, output_hidden_states=True).hidden_states[-1]
    assert not torch.allclose(last, normed, atol=1e-2)


def test_attention_and_mlp_are_what_is_added_to_the_residual(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 2, 15)
    for layer in range(LAYERS):
        module = decoder_layers(model)[1][layer]
        expected = outputs(model, ids, [getattr(module, name) for name in WRITES[family]])
        found = {kind: TruncatedModel(model, Hook(layer, kind))(ids) for kind in KINDS}
        assert_same(family, found["attn_out"], expected[0])
        assert_same(family, found["mlp_out"], expected[1])
        total = found["resid_pre"] + found["attn_out"] + found["mlp_out"]
        torch.testing.assert_close(total, found["resid_post"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_above_the_hook_runs(family: str, family_model: Models, kind: str) -> None:
    spec, model = family_model(family)
    layers = list(decoder_layers(model)[1])
    attention, mlp = (getattr(layers[0], name) for name in WRITES[family])
    watched = [layers[1], model.get_output_embeddings(), layers[0], attention, mlp]
    truncated = TruncatedModel(model, Hook(0, kind))
    with calls_of(watched) as counts:
        truncated(some_ids(spec, 2, 8))
    assert counts[:2] == [0, 0]
    if kind == "resid_pre":
        assert counts[3:] == [0, 0]
    elif kind == "resid_post":
        assert counts[2:] == [1, 1, 1]
    else:
        assert counts[3 if kind == "attn_out" else 4] == 1
    if kind == "attn_out":
        assert counts[4] == 0


def test_padding_at_the_right_end_changes_nothing(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    truncated = TruncatedModel(model, Hook(1, "resid_post"))
    rows = [row[:length].numpy() for row, length in zip(some_ids(spec, 4, 60), (60, 41, 7, 1), strict=True)]
    ids, real = (torch.from_numpy(array) for array in pad(rows))
    together = truncated(ids)
    masked = truncated(ids, real.long())
    for place, row in enumerate(rows):
        alone = truncated(torch.from_numpy(row)[None])[0]
        torch.testing.assert_close(together[place, : len(row)], alone, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(masked[place, : len(row)], alone, atol=1e-4, rtol=1e-4)


def test_the_gelu_of_gpt2_is_one_kernel(family_model: Models) -> None:
    spec, model = family_model("gpt2")
    ids = some_ids(spec, 2, 20)
    fused = copy.deepcopy(model)
    for layer in fused.transformer.h:
        layer.mlp.act = torch.nn.GELU(approximate="tanh")
    with torch.no_grad():
        states = fused(ids, output_hidden_states=True).hidden_states
    assert torch.equal(TruncatedModel(model, Hook(1, "resid_pre"))(ids), states[1])


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_model_is_left_as_it_was(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 2, 9)
    hooks = {name: len(m._forward_hooks) + len(m._forward_pre_hooks) for name, m in model.named_modules()}
    with torch.no_grad():
        before = model(ids).logits
        TruncatedModel(model, Hook(0, "attn_out"))(ids)
        after = model(ids).logits
    assert torch.equal(before, after)
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert hooks == {name: len(m._forward_hooks) + len(m._forward_pre_hooks) for name, m in model.named_modules()}


def test_a_failing_forward_leaves_no_hook(family_model: Models) -> None:
    spec, model = family_model("gpt2")
    with pytest.raises(IndexError):
        TruncatedModel(model, Hook(1, "resid_pre"))(torch.full((1, 4), spec.vocab_size))
    assert not decoder_layers(model)[1][1]._forward_pre_hooks


def test_it_runs_in_the_models_dtype_and_gives_float32(family_model: Models) -> None:
    spec, model = family_model("gpt_neox")
    half = copy.deepcopy(model).to(torch.bfloat16)
    truncated, ids = TruncatedModel(half, Hook(1, "resid_post")), some_ids(spec, 2, 10)
    native = truncated.native(ids)
    assert native.dtype == torch.bfloat16
    assert truncated(ids).dtype == torch.float32
    assert torch.equal(truncated(ids), native.float())
    full = TruncatedModel(model, Hook(1, "resid_post"))(ids)
    assert 0 < (full - native).norm() / full.norm() < 0.05


def test_activations_can_be_trained_on(family_model: Models) -> None:
    spec, model = family_model("gpt2")
    x = TruncatedModel(model, Hook(1, "resid_pre"))(some_ids(spec, 1, 6))
    weight = torch.ones(x.shape[-1], requires_grad=True)
    (x @ weight).sum().backward()
    assert weight.grad is not None
    assert not x.requires_grad


def test_names() -> None:
    assert Hook(8, "resid_pre").name == "resid_pre.8"
    assert [Hook(8, kind).tl_name for kind in KINDS] == [
        "blocks.8.hook_resid_pre",
        "blocks.8.hook_resid_post",
        "blocks.8.hook_attn_out",
        "blocks.8.hook_mlp_out",
    ]


def test_module_paths_lead_to_the_module(family: str, family_model: Models) -> None:
    _, model = family_model(family)
    for kind in KINDS:
        place = Hook(1, kind).place(model)
        path, side = place.name.rsplit(".", 1)
        assert model.get_submodule(path) is place.module
        assert side == ("input" if kind == "resid_pre" else "output")


def test_layers_that_do_not_exist_are_refused(family: str, family_model: Models) -> None:
    _, model = family_model(family)
    with pytest.raises(FaithfulError, match=r"has layers 0 to 1, not 2"):
        TruncatedModel(model, Hook(2, "resid_pre"))
    with pytest.raises(FaithfulError, match="counted from 0"):
        Hook(-1, "resid_pre")
    with pytest.raises(FaithfulError, match="choose resid_pre, resid_post, attn_out or mlp_out"):
        Hook(0, "resid_mid")


class Stranger(Module):
    """A model of another kind: `lists` lists of two layers without attention."""

    def __init__(self, lists: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(get_text_config=lambda **_: SimpleNamespace(num_hidden_layers=2))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        for place in range(lists):
            self.add_module(f"blocks{place}", ModuleList([Module(), Module()]))


def test_unknown_layouts_are_refused() -> None:
    for lists, said in ((0, "no lists of 2 layers"), (2, "2 lists of 2 layers")):
        with pytest.raises(FaithfulError, match=said):
            TruncatedModel(Stranger(lists), Hook(0, "resid_pre"))
