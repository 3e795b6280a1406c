"""Exports name what their readers hook: dictionary_learning and sparsify get the activations that the SAE was trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Module

from faithful.base.errors import FaithfulError
from faithful.formats.exports import export_dictionary_learning, export_sparsify, module_output
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from tests.studies.random_saes import random_sae

Models = Callable[[str], tuple[ModelSpec, Any]]
METADATA = {
    "model_name": "gpt2-small",
    "hook_name": "blocks.8.hook_resid_pre",
    "context_size": 128,
    "faithful_seed": 3,
    "faithful": {"identity": {"corpus": "own", "lr": 3e-4}},
}


def test_dictionary_learning_layout(sae: TopKSAE, x: Tensor, tmp_path: Path) -> None:
    """Its documented layout; where the package is there, its own loader reads the folder too."""
    sae.metadata |= METADATA | {"steps": 77}
    export_dictionary_learning(sae, tmp_path)
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {
        "encoder.weight": (50, 12), "encoder.bias": (50,), "decoder.weight": (12, 50), "b_dec": (12,), "k": (),
        "threshold": (),
    }  # fmt: skip
    assert (int(state["k"]), float(state["threshold"])) == (4, -1.0)
    scores = torch.nn.functional.linear(x - state["b_dec"], state["encoder.weight"], state["encoder.bias"]).relu()
    best = scores.topk(4, -1)
    codes = torch.zeros_like(scores).scatter(-1, best.indices, best.values)
    out = torch.nn.functional.linear(codes, state["decoder.weight"]) + state["b_dec"]
    torch.testing.assert_close(out, sae.reconstruct(x), rtol=0, atol=1e-5)
    trainer = json.loads((tmp_path / "config.json").read_text())["trainer"]
    assert (trainer["dict_class"], trainer["k"], trainer["layer"]) == ("AutoEncoderTopK", 4, 7)
    assert (trainer["seed"], trainer["steps"], trainer["lm_name"], trainer["lr"]) == (3, 77, "gpt2-small", 3e-4)
    assert trainer["activation_dim"] * trainer["dict_size"] == 600


def test_dictionary_learning_loads_what_we_write(sae: TopKSAE, x: Tensor, tmp_path: Path) -> None:
    utils = pytest.importorskip("dictionary_learning.utils")
    export_dictionary_learning(sae, tmp_path)
    theirs, config = utils.load_dictionary(str(tmp_path), "cpu")
    torch.testing.assert_close(theirs(x), sae.reconstruct(x), rtol=0, atol=1e-5)
    assert config["trainer"]["k"] == 4


def outputs(model: Any, module: Module, ids: Tensor) -> Tensor:
    """What a module gives: what readers of both formats train and evaluate on."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(
        lambda _, __, output: found.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        model(ids)
    handle.remove()
    return found[0]


def trained_at(model: Any, hook: Hook) -> TopKSAE:
    """An SAE with the record that `faithful train` writes."""
    truncated = TruncatedModel(model, hook)
    sae = random_sae(truncated.d_in, 16, 4, 0)
    sae.metadata = {"hook_name": hook.tl_name, "faithful": {"hook_module": truncated.path}}
    return sae


@pytest.mark.parametrize("hook", [Hook(1, "resid_pre"), Hook(0, "resid_post"), Hook(1, "resid_post")])
def test_the_layer_is_the_one_whose_output_dictionary_learning_reads(
    hook: Hook, family_model: Models, tmp_path: Path
) -> None:
    """Its `get_submodule` takes the layer module of that number for the residual stream, and reads its output."""
    _, model = family_model("gpt_neox")
    export_dictionary_learning(trained_at(model, hook), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    ids = torch.randint(5, 200, (2, 9), generator=torch.Generator().manual_seed(0))
    assert config["buffer"]["io"] == "out"
    theirs = outputs(model, model.gpt_neox.layers[config["trainer"]["layer"]], ids)
    torch.testing.assert_close(theirs, TruncatedModel(model, hook)(ids))
    assert config["trainer"]["submodule_name"] == f"resid_post_layer_{config['trainer']['layer']}"


@pytest.mark.parametrize(
    ("family", "hook", "place"),
    [
        ("gpt2", Hook(1, "resid_pre"), "h.0"), ("llama", Hook(1, "resid_pre"), "layers.0"),
        ("llama", Hook(1, "mlp_out"), "layers.1.mlp"), ("gemma2", Hook(1, "mlp_out"), "layers.1.post_feedforward_layernorm"),
        ("gemma2", Hook(0, "attn_out"), "layers.0.post_attention_layernorm"), ("gpt2", Hook(1, "attn_out"), "h.1.attn"),
    ],
)  # fmt: skip
def test_the_folder_of_sparsify_must_name_the_module_that_gives_the_activation(
    family: str, hook: Hook, place: str, family_model: Models, tmp_path: Path
) -> None:
    _, model = family_model(family)
    sae, ids = trained_at(model, hook), torch.randint(5, 200, (2, 9), generator=torch.Generator().manual_seed(0))
    export_sparsify(sae, tmp_path / place)
    theirs = outputs(model, model.base_model.get_submodule(place), ids)
    torch.testing.assert_close(theirs, TruncatedModel(model, hook)(ids), atol=1e-5, rtol=1e-5)
    for wrong in ("layers.1", "layers.1.input_layernorm", "own"):
        with pytest.raises(FaithfulError, match=rf"name it {place.replace('h.', 'layers.')} .* not {wrong}"):
            export_sparsify(sae, tmp_path / wrong)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"hook_name": "blocks.0.hook_resid_pre"}, "What enters layer 0 is no layer's output"),
        (
            {"hook_name": "blocks.1.hook_mlp_out", "faithful": {"hook_module": "model.layers.1.mlp.output × 0.22"}},
            "model.layers.1.mlp.output × 0.22, which readers of that format cannot hook",
        ),
        (
            {"hook_name": "blocks.1.hook_resid_pre", "model_from_pretrained_kwargs": {"center_writing_weights": True}},
            "resid_pre.1-centred is read without its mean",
        ),
    ],
)
def test_what_readers_cannot_hook_is_not_exported(metadata: dict[str, Any], said: str, tmp_path: Path) -> None:
    sae = random_sae(8, 16, 4, 0)
    sae.metadata = metadata
    for export in (export_dictionary_learning, export_sparsify):
        with pytest.raises(FaithfulError, match=said):
            export(sae, tmp_path / "layers.0")
    assert not (tmp_path / "layers.0").exists()
    assert module_output(random_sae(8, 16, 4, 0)) is None


def test_sparsify_holds_no_thresholds(sae: TopKSAE, tmp_path: Path) -> None:
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.ones(50))
    jump.metadata = {"training_architecture": "batchtopk", "training_architecture_details": {"k": 4}}
    with pytest.raises(FaithfulError, match=r"fires above thresholds \(batchtopk-k4\), and sparsify's files hold TopK"):
        export_sparsify(jump, tmp_path / "layers.7")
    assert not (tmp_path / "layers.7").exists()
