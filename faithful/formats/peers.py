"""Configs and tensors of SAELens and sparsify, turned into SAEs; what cannot be turned exactly is refused by name."""

from typing import Any, cast

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.formats.keys import (
    KWARGS_HARMLESS,
    RENAMED,
    SAE_LENS_HARMLESS,
    SAE_LENS_READ,
    SPARSIFY_HARMLESS,
    SPARSIFY_READ,
    SPARSIFY_RUN_HARMLESS,
    SPARSIFY_RUN_READ,
    refuse_stated,
    refuse_unknown,
)
from faithful.formats.record import Config, Metadata, Run
from faithful.formats.tensors import only, refuse_other_sizes, ungated, whole_k
from faithful.hooks.hook import parse_hook
from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE

SUPPORTED = {
    "topk": TENSORS,
    "jumprelu": (*TENSORS, "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
    "standard": TENSORS,
}
ACTIVATIONS = {"topk": ("topk", "relu"), "jumprelu": ("relu", "jumprelu"), "gated": ("relu",), "standard": ("relu",)}
NORMALISED = {
    "expected_average_only_in": "activations were scaled by one factor, which these weights do not hold (a checkpoint); fold"
    " it with SAELens' fold_activation_norm_scaling_factor",
    "constant_norm_rescale": "each activation was scaled to one norm, which no weights can hold",
    "layer_norm": "each activation was standardised, which no weights can hold",
    "covariance_whitening": "activations were whitened, which these weights do not hold; fold it with SAELens'"
    " fold_activation_whitening",
}
READINGS = {
    "hook_head_index": "it reads one attention head's part of an activation, which studies do not",
    "hook_head_index_out": "it writes one attention head's part of an activation, which studies do not",
    "model_kwargs": "the model was run with options of its own, which studies do not pass on",
}
LOADINGS = dict.fromkeys(
    ("revision", "checkpoint_index", "checkpoint_value", "checkpoint_label"), "it is of other weights of the model"
)
FEWER_BITS = "it was trained on activations of a model in fewer bits"
SPARSIFY_LOADINGS = {
    "load_in_8bit": FEWER_BITS,
    "load_in_4bit": FEWER_BITS,
    "model_args": READINGS["model_kwargs"],
    "revision": LOADINGS["revision"],
}
SPARSIFY_ADDED = {
    "embed_skip": "its reconstruction takes the embeddings too",
    "gram_lookup": "means of n-grams are taken off its activations",
}
WHOLE = ([None], [None, None], [0, None], [0], None)
MODEL_CLASSES = ("HookedTransformer", "HookedMamba", "AutoModelForCausalLM")
MOVED = (  # flat before version 6, in the metadata since
    "hook_name", "hook_head_index", "hook_name_out", "hook_head_index_out", "model_name", "model_class_name", "model_kwargs",
    "prepend_bos", "model_from_pretrained_kwargs", "seqpos_slice", "context_size",
)  # fmt: skip
FINETUNED = ("scaling_factor", "finetuning_scaling_factor")


def from_sae_lens(config: Config, tensors: dict[str, Tensor], where: str) -> Autoencoder:
    """An SAE of SAELens, also of versions before 6.

    Decoder norms (`rescale_acts_by_decoder_norm`), gates, a fine-tuned scaling of codes and an encoder without pre-bias are
    folded into the weights. `model_from_pretrained_kwargs` and `prepend_bos` decide what its hook reads.

    Raises:
        FaithfulError: an architecture, an activation function, a normalisation, a place or a tensor that this package does
            not compute, or a key that it does not know.
    """
    stated, metadata = _sae_lens_keys(config, where)
    architecture = _architecture(stated, where)
    _refuse_normalised(stated, str(metadata.get("hook_name")), where)
    _refuse_readings(metadata, where)
    tensors = only(tensors, SUPPORTED[architecture], where, FINETUNED)
    if architecture == "gated":
        tensors = ungated(tensors)
    W_enc, b_enc, W_dec, b_dec = (tensors[name] for name in TENSORS)
    refuse_other_sizes(stated, "d_in", "d_sae", W_dec, where)
    W_dec = _finetuned(tensors, W_dec, bool(stated.get("finetuning_scaling_factor")), where)
    if not stated.get("apply_b_dec_to_input", True):
        b_enc = b_enc + b_dec @ W_enc
    if architecture != "topk":
        threshold = tensors.get("threshold", torch.zeros_like(b_enc))
        metadata["training_architecture"] = metadata.get("training_architecture") or architecture
        return ThresholdSAE(W_enc, b_enc, W_dec, b_dec, threshold, metadata)
    if stated.get("rescale_acts_by_decoder_norm"):
        norms = tensors["W_dec"].norm(dim=1)
        W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]
    k = whole_k(stated.get("k") or stated.get("activation_fn_kwargs"), where)
    return TopKSAE(W_enc, b_enc, W_dec, b_dec, k, metadata)


def from_sparsify(
    config: Config, tensors: dict[str, Tensor], hookpoint: str, where: str, run: Run | None = None
) -> TopKSAE:
    """An SAE of sparsify, whose folder is named after its hookpoint: the module whose output it was trained on.

    Args:
        config: its cfg.json.
        tensors: its weights.
        hookpoint: `layers.7`, `h.7`, `layers.7.mlp`, from the model without its head.
        where: for sentences.
        run: the run's config.json, where it is there.

    Raises:
        FaithfulError: a transcoder, a skip connection, another activation, missing or foreign tensors, a key that is not
            known.
    """
    run = run or Run()
    refuse_unknown(config, SPARSIFY_READ, SPARSIFY_HARMLESS, where)
    refuse_unknown(run, SPARSIFY_RUN_READ, SPARSIFY_RUN_HARMLESS, f"{where}'s run")
    if config.get("activation", "topk") != "topk" or config.get("signed"):
        activation = "signed" if config.get("signed") else config["activation"]
        raise FaithfulError(f"{where} has the activation '{activation}'; only topk is supported.")
    if config.get("transcode") or config.get("skip_connection"):
        raise FaithfulError(f"{where} is a transcoder, not an autoencoder; choose an SAE.")
    refuse_stated(config, SPARSIFY_ADDED, where)
    refuse_stated(run, SPARSIFY_LOADINGS, where)
    if run.get("hook_mode", "output") != "output":
        raise FaithfulError(
            f"{where} states hook_mode {run['hook_mode']!r}: it reads no module's output; choose another SAE."
        )
    tensors = only(tensors, ["encoder.weight", "encoder.bias", "W_dec", "b_dec"], where)
    hook = parse_hook(hookpoint)
    metadata = {"hook_name": hook.tl_name if hook else None, "hookpoint": hookpoint, "model_name": run.get("model")}
    W_enc = tensors["encoder.weight"].T.contiguous()
    return TopKSAE(
        W_enc, tensors["encoder.bias"], tensors["W_dec"], tensors["b_dec"], whole_k(config.get("k"), where), metadata
    )


def _sae_lens_keys(config: Config, where: str) -> tuple[Config, Metadata]:
    """What the config states, and its metadata as SAELens 6 has it, under the names of today."""
    is_old = "hook_point" in config
    stated: dict[str, Any] = {RENAMED.get(key, key): value for key, value in config.items()}
    given = stated.pop("metadata", None) or {}
    if not isinstance(given, dict):
        raise FaithfulError(f"metadata in the config of {where} is no object; download the SAE again.")
    refuse_unknown([*stated, *given], SAE_LENS_READ, SAE_LENS_HARMLESS, where)
    metadata = dict(given)
    for key in MOVED:
        if stated.get(key) is not None and metadata.get(key) is None:
            metadata[key] = stated[key]
    kwargs = metadata.get("model_from_pretrained_kwargs") or {}
    if is_old and isinstance(kwargs, dict):
        # Until version 3, which renamed hook_point, TransformerLens processed the weights unless it was told not to.
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True} | kwargs
    return cast(Config, stated), cast(Metadata, metadata)


def _architecture(stated: Config, where: str) -> str:
    architecture = stated.get("architecture") or "standard"
    activation = stated.get("activation_fn") or ("topk" if architecture == "topk" else "relu")
    if (architecture, activation) == ("standard", "topk"):
        architecture = "topk"
    if architecture not in SUPPORTED:
        raise FaithfulError(
            f"{where} has the architecture '{architecture}'; supported are {', '.join(SUPPORTED)}"
            " (batchtopk is read as it is exported for inference, as jumprelu)."
        )
    if activation not in ACTIVATIONS[architecture]:
        raise FaithfulError(
            f"{where} has the activation function '{activation}' ({architecture}), which is not computed here; choose an SAE"
            " with relu or topk."
        )
    extra = sorted(set(stated.get("activation_fn_kwargs") or {}) - {"k"})
    if extra:
        raise FaithfulError(
            f"{where} gives its activation function {', '.join(extra)}, which this version does not know; choose another SAE."
        )
    return str(architecture)


def _refuse_normalised(stated: Config, hook_name: str, where: str) -> None:
    normalise = stated.get("normalize_activations")
    if normalise not in (None, False, "none"):
        known = "expected_average_only_in" if normalise is True else str(normalise)
        reason = NORMALISED.get(known, "this version does not know it")
        raise FaithfulError(f"{where} asks for normalize_activations '{normalise}': {reason}; else choose another SAE.")
    reshape = stated.get("reshape_activations", "hook_z" if "hook_z" in hook_name else None)
    if reshape not in (None, False, "none"):
        raise FaithfulError(
            f"{where} reads {hook_name} (reshape_activations '{reshape}'), the heads of an attention before they are mixed;"
            " here the residual stream and what is added to it are read. Choose another SAE."
        )


def _refuse_readings(metadata: Metadata, where: str) -> None:
    refuse_stated(metadata, READINGS, where)
    kwargs = metadata.get("model_from_pretrained_kwargs") or {}
    if not isinstance(kwargs, dict):
        raise FaithfulError(
            f"model_from_pretrained_kwargs in the config of {where} is no object; download the SAE again."
        )
    refuse_stated(kwargs, LOADINGS, where)
    refuse_unknown(
        kwargs, ("center_writing_weights", *LOADINGS), KWARGS_HARMLESS, f"{where} (model_from_pretrained_kwargs)"
    )
    for key, value in (
        ("center_writing_weights", kwargs.get("center_writing_weights")),
        ("prepend_bos", metadata.get("prepend_bos")),
    ):
        if value not in (None, True, False):
            raise FaithfulError(f"{where} states {key} {value!r}, which is neither true nor false; mend its config.")
    given = metadata.get("seqpos_slice")
    # Without BOS the position that a slice from 1 leaves out is a token like others.
    if given not in (*WHOLE, *([[1, None]] if metadata.get("prepend_bos") is not False else [])):
        raise FaithfulError(
            f"{where} states seqpos_slice {given!r}: it was trained on these positions of a context alone, and studies read"
            " all; choose another SAE."
        )
    if metadata.get("model_class_name") not in (None, *MODEL_CLASSES):
        raise FaithfulError(
            f"{where} states model_class_name {metadata['model_class_name']!r}, which is none of {', '.join(MODEL_CLASSES)}."
        )
    if metadata.get("hook_name_out") not in (None, metadata.get("hook_name")):
        raise FaithfulError(
            f"{where} reads {metadata['hook_name']} and writes {metadata['hook_name_out']}; choose an autoencoder."
        )


def _finetuned(tensors: dict[str, Tensor], W_dec: Tensor, is_stated: bool, where: str) -> Tensor:
    """Decoder rows with the fine-tuned scaling of codes in them; versions until 3 wrote ones where there was none."""
    for name in FINETUNED:
        scaling = tensors.get(name)
        if scaling is not None and not scaling.is_meta and not bool((scaling == 1).all()):
            if not is_stated:
                raise FaithfulError(
                    f"The weights of {where} hold {name}, which its config does not state (finetuning_scaling_factor);"
                    " download it again."
                )
            return W_dec * scaling[:, None]
    if is_stated and not any(name in tensors for name in FINETUNED):
        raise FaithfulError(
            f"The config of {where} states finetuning_scaling_factor, its weights hold none; download it again."
        )
    return W_dec
