"""Names of hooks, outputs of modules, centred activations, contexts without BOS."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faithful.activations.quality import splice_contexts
from faithful.base.errors import FaithfulError
from faithful.hooks.hook import ATTENTIONS, MODULE, Hook, ignores_mean, parse_hook
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.token_rows import special_ids
from tests.faithful.hooks.test_sublayers import model_of
from tests.families import FAMILIES

Models = Callable[[str], tuple[ModelSpec, Any]]


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("blocks.8.hook_resid_pre", Hook(8, "resid_pre")),
        ("blocks.8.hook_mlp_out", Hook(8, "mlp_out")),
        ("layers.12", Hook(12, "resid_post")),
        ("h.0", Hook(0, "resid_post")),
        ("transformer.h.7", Hook(7, "resid_post")),
        ("model.layers.20", Hook(20, "resid_post")),
        ("gpt_neox.layers.3", Hook(3, "resid_post")),
        ("model.language_model.layers.9", Hook(9, "resid_post")),
        ("model.layers.3.mlp", Hook(3, MODULE, "mlp")),
        ("h.4.attn", Hook(4, MODULE, "attn")),
        ("layers.4.self_attn.o_proj", Hook(4, MODULE, "self_attn.o_proj")),
        ("blocks.8.hook_out", Hook(8, "resid_post")),
        ("blocks.8.hook_in", Hook(8, "resid_pre")),
        ("blocks.8.mlp.hook_out", Hook(8, MODULE, "mlp")),
        ("blocks.8.hook_resid_post", Hook(8, "resid_post")),
        ("transformer.h.7.output", Hook(7, "resid_post")),
        ("model.layers.20.input", Hook(20, "resid_pre")),
        ("gpt_neox.layers.3.attention.output", Hook(3, MODULE, "attention")),
        ("transformer.blocks.2", Hook(2, "resid_post")),
        ("resid_post_layer_7", Hook(7, "resid_post")),
        ("resid_out_layer3", Hook(3, "resid_post")),
        ("resid_pre_layer_7", Hook(7, "resid_pre")),
        ("mlp_layer_7", Hook(7, MODULE, "mlp")),
        ("mlp_out_layer_7", Hook(7, MODULE, "mlp")),
        ("attn_out_layer0", Hook(0, MODULE, "attn")),
        ("model.layers.3.mlp.input", None),
        ("blocks.2.mlp.hook_in", None),
        ("blocks.2.attn.hook_z", None),
        ("blocks.2.hook_resid_mid", None),
        ("blocks.2.ln1.hook_normalized", None),
        ("vision_tower.encoder.layers.3", None),
        ("embed_in", None),
        ("", None),
    ],
)
def test_places_have_the_names_that_other_tools_give_them(name: str, hook: Hook | None) -> None:
    assert parse_hook(name) == hook
    if hook is not None:
        assert parse_hook(hook.tl_name) == hook


def test_names_tell_hooks_apart() -> None:
    hooks = [
        Hook(8, "resid_pre"), Hook(8, "resid_pre", centred=True), Hook(8, "resid_pre", bos=False), Hook(8, MODULE, "mlp"),
        Hook(8, "mlp_out"),
    ]  # fmt: skip
    names = ["resid_pre.8", "resid_pre.8-centred", "resid_pre.8-nobos", "layers.8.mlp", "mlp_out.8"]
    assert [hook.name for hook in hooks] == names
    with pytest.raises(FaithfulError, match="'module' is not a hook"):
        Hook(8, MODULE)


def some_ids(spec: ModelSpec, rows: int, length: int) -> Tensor:
    ids = torch.randint(5, spec.mapped - 1, (rows, length), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = spec.bos_id
    return ids


def test_a_modules_output_is_read_before_the_norm_behind_it(family_model: Models) -> None:
    spec, model = family_model("gemma2")
    ids = some_ids(spec, 2, 12)
    raw = TruncatedModel(model, Hook(1, MODULE, "mlp"))(ids)
    added = TruncatedModel(model, Hook(1, "mlp_out"))(ids)
    assert not torch.allclose(raw, added, rtol=0.1)
    norm = decoder_layers(model)[1][1].post_feedforward_layernorm
    with torch.no_grad():
        torch.testing.assert_close(norm(raw), added)
    assert Hook(1, MODULE, "mlp").place(model) != Hook(1, "mlp_out").place(model)


@pytest.mark.parametrize(("family", "mlp"), [("llama", "mlp"), ("gpt2", "mlp"), ("gpt_neox", "mlp")])
def test_where_nothing_stands_behind_a_module_it_is_one_place(family_model: Models, family: str, mlp: str) -> None:
    _, model = family_model(family)
    assert Hook(1, MODULE, mlp).place(model) == Hook(1, "mlp_out").place(model)


@pytest.mark.parametrize("name", [*FAMILIES, "qwen2", "qwen3", "gemma3_text", "olmo2", "mpt"])
def test_a_layers_path_in_sae_lens_is_the_stream_after_it(name: str, family_model: Models) -> None:
    """SAELens hooks the module of that path; what it gives is what enters the next layer, in every family."""
    from sae_lens.load_model import HookedProxyLM

    model = family_model(name)[1] if name in FAMILIES else model_of(name)
    path, layers = decoder_layers(model)
    attention = next(child for child, _ in layers[0].named_children() if child in ATTENTIONS)
    names = [f"{path}.0", f"{path}.0.{attention}"]
    ids = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(0))
    _, theirs = HookedProxyLM(model, None, hook_names=names).run_with_cache(ids, names_filter=names)  # type: ignore[arg-type]
    hooks = [hook for hook in map(parse_hook, names) if hook]
    assert hooks == [Hook(0, "resid_post"), Hook(0, MODULE, attention)]
    for one, hook in zip(names, hooks, strict=True):
        torch.testing.assert_close(TruncatedModel(model, hook)(ids), theirs[one])
    torch.testing.assert_close(TruncatedModel(model, Hook(1, "resid_pre"))(ids), theirs[names[0]])
    assert Hook(0, MODULE, "attn").place(model) == hooks[1].place(model)


def test_modules_that_are_none_or_give_something_else_are_refused(family_model: Models) -> None:
    _, model = family_model("llama")
    with pytest.raises(FaithfulError, match="has no feed_forward; its modules are self_attn, mlp, "):
        Hook(1, MODULE, "feed_forward").place(model)
    with pytest.raises(FaithfulError, match="is not one activation of 128 dimensions per token"):
        Hook(1, MODULE, "self_attn.k_proj").place(model)


def test_the_mean_is_taken_off_where_no_norm_sees_it(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 2, 12)
    plain, centred = (TruncatedModel(model, Hook(1, "resid_pre", centred=on))(ids) for on in (False, True))
    is_layer_norm = family in ("gpt2", "gpt_neox")
    assert ignores_mean(decoder_layers(model)[1][1]) == is_layer_norm
    expected = plain - plain.mean(-1, keepdim=True) if is_layer_norm else plain
    assert plain.mean(-1).abs().max() > 1e-3
    torch.testing.assert_close(centred, expected)


def test_without_bos_the_model_does_not_see_it(family: str, family_model: Models) -> None:
    spec, model = family_model(family)
    ids = some_ids(spec, 3, 14)
    found = TruncatedModel(model, Hook(1, "resid_post", bos=False))(ids)
    alone = TruncatedModel(model, Hook(1, "resid_post"))(ids[:, 1:])
    assert found.shape[:2] == ids.shape and not found[:, 0].any()
    torch.testing.assert_close(found[:, 1:], alone)
    assert not TruncatedModel(model, Hook(1, "resid_post", bos=False))(ids[:, :1]).any()
    with_bos = TruncatedModel(model, Hook(1, "resid_post"))(ids)
    assert not torch.allclose(found[:, 1:], with_bos[:, 1:], atol=1e-2)


class Same:
    """An SAE that gives back what it gets."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, codes: Tensor) -> Tensor:
        return codes


@pytest.mark.parametrize("kind", ["resid_pre", "mlp_out"])
def test_losses_with_a_perfect_sae_are_the_models_own(family: str, family_model: Models, kind: str) -> None:
    """Also where it gives back centred activations, and where the contexts have no BOS."""
    spec, model = family_model(family)
    ordinary = np.ones(spec.vocab_size, dtype=bool)
    ordinary[sorted(special_ids(spec))] = False
    rows = [row.numpy() for row in some_ids(spec, 4, 16)]
    for hook in (Hook(1, kind, centred=True), Hook(1, kind, bos=False)):
        mean = torch.zeros(TruncatedModel(model, hook).d_in)
        (found,) = splice_contexts(model, hook, [Same()], rows, mean, ordinary)
        losses = found.losses
        assert losses["ce_sae"] == pytest.approx(losses["ce_clean"], abs=1e-5)
        assert losses["scored_tokens"] == 4 * 14
        ids = torch.from_numpy(np.stack(rows))[:, int(not hook.bos) :]
        with torch.no_grad():
            log_p = model(ids).logits.log_softmax(-1)
        first = int(hook.bos)
        targets, at = ids[:, 1:], slice(first, None)
        expected = -log_p[:, :-1].gather(-1, targets[..., None])[:, at].mean()
        assert losses["ce_clean"] == pytest.approx(float(expected), abs=1e-5)
