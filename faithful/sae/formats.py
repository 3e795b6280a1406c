"""Configs and tensors of SAELens and sparsify, turned into SAEs; what cannot be turned exactly is refused."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from faithful.errors import FaithfulError
from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE

SUPPORTED = {
    "topk": TENSORS,
    "jumprelu": (*TENSORS, "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
    "standard": TENSORS,
}
SUBLAYERS = {"": "hook_resid_post", "mlp": "hook_mlp_out", "attn": "hook_attn_out"}
ATTENTION = ("attn", "self_attn", "attention")


def from_sae_lens(config: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Autoencoder:
    """An SAE of SAELens, also of versions before 6.

    Decoder norms (`rescale_acts_by_decoder_norm`), gates and an encoder without pre-bias are folded into the weights.

    Raises:
        FaithfulError: an architecture, a normalisation or a tensor that this package does not compute.
    """
    metadata = dict(config.get("metadata") or {})
    for old, new in (
        ("hook_point", "hook_name"),
        *((name, name) for name in ("hook_name", "model_name", "context_size")),
    ):
        if config.get(old) is not None:
            metadata.setdefault(new, config[old])
    architecture = config.get("architecture") or "standard"
    if (config.get("activation_fn_str") or config.get("activation_fn")) == "topk":
        architecture = "topk"
    if architecture not in SUPPORTED:
        raise FaithfulError(
            f"{where} has the architecture '{architecture}'; supported are {', '.join(SUPPORTED)}"
            " (batchtopk is read as it is exported for inference, as jumprelu)."
        )
    for name in ("normalize_activations", "reshape_activations"):
        if config.get(name) not in (None, False, "none"):
            raise FaithfulError(
                f"{where} asks for {name} '{config[name]}', which its weights do not hold; fold it with SAELens"
                " where it is one factor, else choose another SAE."
            )
    tensors = _only(
        tensors,
        SUPPORTED[architecture],
        where,
        ("scaling_factor",) if not config.get("finetuning_scaling_factor") else (),
    )
    if architecture == "gated":
        tensors = _ungated(tensors)
    W_enc, b_enc, W_dec, b_dec = (tensors[name] for name in TENSORS)
    if not config.get("apply_b_dec_to_input", True):
        b_enc = b_enc + b_dec @ W_enc
    if architecture != "topk":
        threshold = tensors.get("threshold", torch.zeros_like(b_enc))
        return ThresholdSAE(W_enc, b_enc, W_dec, b_dec, threshold, metadata)
    if config.get("rescale_acts_by_decoder_norm"):
        norms = W_dec.norm(dim=1)
        W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]
    return TopKSAE(
        W_enc, b_enc, W_dec, b_dec, _k(config.get("k") or config.get("activation_fn_kwargs"), where), metadata
    )


def from_sparsify(config: dict[str, Any], tensors: dict[str, Tensor], hookpoint: str, where: str) -> TopKSAE:
    """An SAE of sparsify, whose folder is named after its hookpoint.

    Raises:
        FaithfulError: a transcoder, a skip connection, another activation, missing or foreign tensors.
    """
    if config.get("activation", "topk") != "topk" or config.get("signed"):
        raise FaithfulError(
            f"{where} has the activation '{config.get('activation', 'signed')}'; only topk is supported."
        )
    if config.get("transcode") or config.get("skip_connection"):
        raise FaithfulError(f"{where} is a transcoder, not an autoencoder; choose an SAE.")
    tensors = _only(tensors, ["encoder.weight", "encoder.bias", "W_dec", "b_dec"], where)
    metadata = {"hook_name": hook_name(hookpoint), "hookpoint": hookpoint}
    W_enc = tensors["encoder.weight"].T.contiguous()
    return TopKSAE(
        W_enc, tensors["encoder.bias"], tensors["W_dec"], tensors["b_dec"], _k(config.get("k"), where), metadata
    )


def hook_name(hookpoint: str) -> str | None:
    """TransformerLens' name of a module's output: `h.8`, `layers.8.mlp`; None where it has none."""
    found = re.fullmatch(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)(?:\.(\w+))?", hookpoint)
    if not found:
        return None
    part = found[2] or ""
    name = SUBLAYERS.get("attn" if part in ATTENTION else part)
    return f"blocks.{found[1]}.{name}" if name else None


def layer_of(hook: str | None) -> int | None:
    """Layer in a TransformerLens hook name, None where there is none."""
    found = re.match(r"blocks\.(\d+)\.", hook or "")
    return int(found[1]) if found else None


def _ungated(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A gated encoder as one with thresholds, which it equals: gate and magnitude share W_enc up to a factor per latent.

    With s = (x − b_dec) W_enc: f = ReLU(s exp(r_mag) + b_mag) where s + b_gate > 0, that is, where what the ReLU gets
    exceeds b_mag − b_gate exp(r_mag).
    """
    gain, b_mag = tensors["r_mag"].exp(), tensors["b_mag"]
    threshold = b_mag - tensors["b_gate"] * gain
    return tensors | {"W_enc": tensors["W_enc"] * gain, "b_enc": b_mag, "threshold": threshold}


def _only(
    tensors: dict[str, Tensor], names: Sequence[str], where: str, ignored: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    missing = [name for name in names if name not in tensors]
    foreign = sorted(set(tensors) - set(names) - set(ignored))
    if missing or foreign:
        what = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(foreign)}, which is not supported"
        raise FaithfulError(f"The weights of {where} {what}; download or export the SAE again.")
    return {name: tensors[name].float() for name in names}


def _k(value: Any, where: str) -> int:
    k = value.get("k") if isinstance(value, dict) else value
    if not isinstance(k, int | float) or k != int(k):
        raise FaithfulError(f"{where} states no whole k; set it in cfg.json.")
    return int(k)
