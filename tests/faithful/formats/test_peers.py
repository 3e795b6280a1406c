"""Every key of others' configs is honoured, known to be harmless, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.formats.exports import export_sparsify
from faithful.formats.files import load_sae, save_sae
from faithful.hooks.hook import MODULE, Hook
from faithful.sae.autoencoder import Autoencoder
from tests.studies.random_saes import random_sae

FLAT: dict[str, Any] = {
    "architecture": "standard", "d_in": 8, "d_sae": 16, "activation_fn_str": "relu", "activation_fn_kwargs": {},
    "apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "context_size": 128, "model_name": "gpt2-small",
    "hook_name": "blocks.2.hook_resid_pre", "hook_layer": 2, "hook_head_index": None, "prepend_bos": True,
    "dataset_path": "someone/text", "dataset_trust_remote_code": True, "normalize_activations": "none",
    "dtype": "torch.float32", "device": "cuda", "sae_lens_training_version": "4.4.5", "neuronpedia_id": None,
    "model_from_pretrained_kwargs": {}, "seqpos_slice": [None],
}  # fmt: skip
SIX: dict[str, Any] = {
    "architecture": "standard", "d_in": 8, "d_sae": 16, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
    "normalize_activations": "none", "reshape_activations": "none",
    "metadata": {
        "sae_lens_version": "6.54.12", "model_name": "gpt2-small", "hook_name": "blocks.2.hook_resid_pre",
        "model_class_name": "HookedTransformer", "hook_head_index": None, "prepend_bos": True, "seqpos_slice": [None],
        "model_from_pretrained_kwargs": {"center_writing_weights": False}, "exclude_special_tokens": False,
        "sequence_separator_token": "bos", "disable_concat_sequences": False,
    },
}  # fmt: skip


def written(folder: Path, config: dict[str, Any], **tensors: Tensor) -> Path:
    sae = random_sae(8, 16, 4, 0)
    held = {name: getattr(sae, name).contiguous() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(held | tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def loaded(folder: Path, config: dict[str, Any], **tensors: Tensor) -> Autoencoder:
    return load_sae(written(folder, config, **tensors))


def six(**metadata: Any) -> dict[str, Any]:
    return SIX | {"metadata": SIX["metadata"] | metadata}


def kwargs(**stated: Any) -> dict[str, Any]:
    return six(model_from_pretrained_kwargs=stated)


@pytest.mark.parametrize("config", [FLAT, SIX])
def test_plain_configs_of_all_versions_are_read(config: dict[str, Any], tmp_path: Path) -> None:
    sae = loaded(tmp_path, config)
    assert (sae.hook, sae.architecture, sae.k) == (Hook(2, "resid_pre"), "standard", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation_fn_str": "tanh-relu"}, "activation function 'tanh-relu'"),
        ({"activation_fn": "gelu", "activation_fn_str": None}, "activation function 'gelu'"),
        ({"architecture": "gated", "activation_fn_str": "topk"}, r"activation function 'topk' \(gated\)"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4, "postact_fn": "tanh"}}, "gives .* postact_fn"),
        ({"activation_fn_str": "topk"}, "no whole k"),
        ({"normalize_activations": "expected_average_only_in"}, "'expected_average_only_in': .* checkpoint"),
        ({"normalize_activations": True}, "'True': activations were scaled by one factor"),
        ({"normalize_activations": "layer_norm"}, "'layer_norm': each activation was standardised"),
        ({"normalize_activations": "constant_norm_rescale"}, "scaled to one norm"),
        ({"normalize_activations": "covariance_whitening"}, "whitened.*fold_activation_whitening"),
        ({"normalize_activations": "new"}, "'new': this version does not know it"),
        ({"reshape_activations": "hook_z"}, "heads of an attention before they are mixed"),
        ({"hook_name": "blocks.2.attn.hook_z"}, r"reads blocks\.2\.attn\.hook_z .*heads of an attention"),
        ({"hook_head_index": 3}, "hook_head_index 3: it reads one attention head"),
        ({"hook_point_head_index": 3}, "hook_head_index 3"),
        ({"seqpos_slice": [5, -5]}, r"seqpos_slice \[5, -5\]"),
        ({"model_kwargs": {"start_at_layer": 2}}, "model_kwargs"),
        ({"model_class_name": "HookedViT"}, "model_class_name 'HookedViT'"),
        ({"hook_name_out": "blocks.2.hook_mlp_out"}, "writes blocks.2.hook_mlp_out"),
        ({"finetuning_scaling_factor": True}, "states finetuning_scaling_factor, its weights hold none"),
        ({"model_from_pretrained_kwargs": {"revision": "step300"}}, "revision 'step300': it is of other weights"),
        ({"model_from_pretrained_kwargs": {"checkpoint_index": 7}}, "checkpoint_index 7"),
        ({"model_from_pretrained_kwargs": {"load_in_8bit": True}}, "load_in_8bit"),
        ({"model_from_pretrained_kwargs": [1]}, "no object"),
        ({"prepend_bos": "no"}, "`prepend_bos` is 'no'"),
        ({"d_sae": 17}, "states d_sae 17, its weights have 16"),
        ({"input_scale": 2.0}, "states 'input_scale', which this version does not know"),
        ({"metadata": {"activation_scale": 0.5}}, "states 'activation_scale'"),
        ({"metadata": [1]}, "`metadata` is"),
    ],
)  # fmt: skip
def test_what_would_change_activations_is_refused_by_name(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        loaded(tmp_path, FLAT | change)


@pytest.mark.parametrize(
    ("config", "hook"),
    [
        (kwargs(center_writing_weights=True), Hook(2, "resid_pre", centred=True)),
        (kwargs(fold_ln=True, center_unembed=True, n_devices=2), Hook(2, "resid_pre")),
        (six(prepend_bos=False), Hook(2, "resid_pre", bos=False)),
        (six(seqpos_slice=[1, None]), Hook(2, "resid_pre")),
        (six(hook_name="transformer.h.1", model_class_name="AutoModelForCausalLM"), Hook(1, "resid_post")),
        (six(hook_name="model.layers.3.mlp"), Hook(3, MODULE, "mlp")),
        (six(hook_name="blocks.2.hook_resid_mid"), None),
        (FLAT | {"prepend_bos": False}, Hook(2, "resid_pre", bos=False)),
        (FLAT | {"model_from_pretrained_kwargs": {"center_writing_weights": True}}, Hook(2, "resid_pre", centred=True)),
    ],
)
def test_what_decides_the_activations_is_honoured(config: dict[str, Any], hook: Hook | None, tmp_path: Path) -> None:
    assert loaded(tmp_path, config).hook == hook


def test_weights_were_centred_before_version_three_unless_told_otherwise(tmp_path: Path) -> None:
    """GPT-2's first residual-stream SAEs: no key says so, and SAELens' own list of SAEs adds it."""
    old = {key: value for key, value in FLAT.items() if key not in ("hook_name", "model_from_pretrained_kwargs")}
    old |= {"hook_point": "blocks.2.hook_resid_pre", "hook_point_layer": 2, "hook_point_head_index": None}
    assert loaded(tmp_path, old).hook == Hook(2, "resid_pre", centred=True)
    stated = old | {"model_from_pretrained_kwargs": {"center_writing_weights": False}}
    assert loaded(tmp_path, stated).hook == Hook(2, "resid_pre")
    sae = random_sae(8, 16, 4, 1)
    save_sae(tmp_path / "again", sae, loaded(tmp_path, old).metadata)
    assert load_sae(tmp_path / "again").hook == Hook(2, "resid_pre", centred=True)


def test_a_slice_from_one_without_bos_leaves_out_a_token(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="seqpos_slice"):
        loaded(tmp_path, six(seqpos_slice=[1, None], prepend_bos=False))


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_fine_tuned_scaling_is_in_the_decoder(name: str, tmp_path: Path) -> None:
    plain, factor = loaded(tmp_path / "a", FLAT), torch.linspace(0.5, 2, 16)
    sae = loaded(tmp_path / "b", FLAT | {"finetuning_scaling_factor": True}, **{name: factor})
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sae.reconstruct(x), (plain.encode(x) * factor) @ plain.W_dec + plain.b_dec)
    with pytest.raises(FaithfulError, match=f"hold {name}, which its config does not state"):
        loaded(tmp_path / "c", FLAT, **{name: factor})
    assert loaded(tmp_path / "d", FLAT, **{name: torch.ones(16)}).reconstruct(x).allclose(plain.reconstruct(x))


@pytest.mark.parametrize(
    ("training", "architecture"),
    [
        ({}, "jumprelu"),
        ({"training_architecture": "jumprelu"}, "jumprelu"),
        ({"training_architecture": "batchtopk", "training_architecture_details": {"k": 8}}, "batchtopk-k8"),
        ({"training_architecture": "matryoshka_batchtopk"}, "matryoshka_batchtopk"),
    ],
)
def test_what_it_was_trained_as_tells_saes_apart(training: dict[str, Any], architecture: str, tmp_path: Path) -> None:
    config = six(**training) | {"architecture": "jumprelu"}
    assert loaded(tmp_path, config, threshold=torch.zeros(16)).architecture == architecture


@pytest.mark.parametrize(
    ("place", "hook"),
    [
        ("layers.2", Hook(2, "resid_post")), ("h.2", Hook(2, "resid_post")), ("layers.2.mlp", Hook(2, MODULE, "mlp")),
        ("layers.2.mlp/seed1", Hook(2, MODULE, "mlp")), ("language_model.layers.2", Hook(2, "resid_post")),
    ],
)  # fmt: skip
def test_the_folder_of_sparsify_names_a_modules_output(place: str, hook: Hook, tmp_path: Path) -> None:
    export_sparsify(random_sae(8, 16, 4, 0), tmp_path / "run" / place)
    (tmp_path / "run" / "config.json").write_text(json.dumps({"model": "some/model", "hookpoints": ["layers.2"]}))
    sae = load_sae(tmp_path / "run" / place)
    assert (sae.hook, sae.model_name) == (hook, "some/model")


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("cfg", {"signed": True}, "'signed'"),
        ("cfg", {"activation": "groupmax"}, "'groupmax'"),
        ("cfg", {"skip_connection": True}, "transcoder"),
        ("cfg", {"input_norm": True}, "'input_norm'"),
        ("cfg", {"embed_skip": True}, "embed_skip True: .* embeddings"),
        ("cfg", {"gram_lookup": True}, "gram_lookup True: .* n-grams"),
        ("run", {"model_args": "torch_dtype=float16"}, "model_args"),
        ("run", {"load_in_8bit": True}, "load_in_8bit True: .* fewer bits"),
        ("run", {"revision": "step3"}, "revision 'step3'"),
        ("run", {"hook_mode": "input"}, "hook_mode 'input'"),
        ("run", {"whiten": True}, "run states 'whiten'"),
    ],
)
def test_keys_of_sparsify_are_honoured_or_refused(file: str, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "layers.1"
    export_sparsify(random_sae(8, 16, 4, 0), folder)
    path = folder / "cfg.json" if file == "cfg" else tmp_path / "run" / "config.json"
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {"model": "m"}) | change))
    with pytest.raises(FaithfulError, match=said):
        load_sae(folder)


def test_harmless_keys_of_older_and_newer_sparsify_are_let_through(tmp_path: Path) -> None:
    """`distribute_layers` and `seed` from when it was called `sae`, the others from its present source."""
    folder = tmp_path / "run" / "layers.1"
    export_sparsify(random_sae(8, 16, 4, 0), folder)
    newer = {"embed_skip": False, "gram_lookup": False, "lookup_max_order": 4, "gram_table_hash": None}
    (folder / "cfg.json").write_text(json.dumps(json.loads((folder / "cfg.json").read_text()) | newer))
    older = {"model": "m", "distribute_layers": False, "seed": 42, "tp": 1, "return_overflowed_tokens": True}
    (tmp_path / "run" / "config.json").write_text(json.dumps(older | {"model_args": "", "gram_table_path": None}))
    assert load_sae(folder).model_name == "m"


def test_a_runners_config_without_expansion_factor_is_not_damaged(tmp_path: Path) -> None:
    """SAELens writes null where the width was stated instead."""
    assert loaded(tmp_path, six() | {"expansion_factor": None}).d_sae == 16


def test_a_k_with_a_decimal_point_is_not_damage(tmp_path: Path) -> None:
    """SAELens types the k of batchtopk as a float."""
    assert loaded(tmp_path / "whole", six() | {"architecture": "topk", "k": 4.0}).k == 4
    with pytest.raises(FaithfulError, match="states no whole k"):
        loaded(tmp_path / "half", six() | {"architecture": "topk", "k": 4.5})
    with pytest.raises(FaithfulError, match="batchtopk is read as it is exported"):
        loaded(tmp_path / "trained", six() | {"architecture": "batchtopk", "k": 4.5})


def test_our_own_files_state_nothing_unknown(tmp_path: Path) -> None:
    save_sae(tmp_path, random_sae(8, 16, 4, 0), {"hook_name": "blocks.1.hook_resid_pre", "notes": {"why": "a test"}})
    assert load_sae(tmp_path).metadata["notes"] == {"why": "a test"}
    assert set(load_file(tmp_path / "sae_weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    with pytest.raises(FaithfulError, match="'mood'"):
        save_sae(tmp_path / "other", random_sae(8, 16, 4, 0), {"mood": "good"})
