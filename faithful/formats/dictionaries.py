"""SAEs of saprmarks' dictionary_learning (ae.pt with its config.json), turned into ours; others are refused by name."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.formats.keys import (
    DICTIONARY_BUFFER_HARMLESS,
    DICTIONARY_BUFFER_READ,
    DICTIONARY_HARMLESS,
    DICTIONARY_READ,
    refuse_unknown,
)
from faithful.formats.record import Buffer, Config, Metadata, Trainer
from faithful.formats.tensors import only, refuse_other_sizes, ungated, whole_k
from faithful.hooks.hook import MODULE, Hook, parse_hook
from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE

LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
"""Weights of `torch.nn.Linear`, which are transposed."""
PLAIN = {name: name for name in (*TENSORS, "threshold")}
GATED = {"b_dec": "decoder_bias", "r_mag": "r_mag", "b_gate": "gate_bias", "b_mag": "mag_bias"}
CLASSES: dict[str, tuple[str, dict[str, str]]] = {
    "AutoEncoder": ("standard", LINEAR | {"b_dec": "bias"}),
    "AutoEncoderNew": ("standard", LINEAR | {"b_dec": "decoder.bias"}),
    "GatedAutoEncoder": ("gated", {name: LINEAR[name] for name in ("W_enc", "W_dec")} | GATED),
    "JumpReluAutoEncoder": ("jumprelu", PLAIN),
    "AutoEncoderTopK": ("topk", LINEAR | {"b_dec": "b_dec"}),
    "BatchTopKSAE": ("batchtopk", LINEAR | {"b_dec": "b_dec", "threshold": "threshold"}),
    "MatryoshkaBatchTopKSAE": ("matryoshka_batchtopk", PLAIN),
}
"""For each of its classes what it was trained as, and its name of each of our tensors."""
WITHOUT_PRE_BIAS = ("AutoEncoderNew", "JumpReluAutoEncoder")
BESIDE = ("k", "threshold", "group_sizes")


def from_dictionary_learning(config: Config, tensors: Mapping[str, Tensor], where: str) -> Autoencoder:
    """An SAE of dictionary_learning, as `load_dictionary` computes it.

    Codes are those of decoder rows of length 1, as its classes give them where they do not train rows of that length. A
    batchtopk SAE has one threshold for all latents when it is used.

    Args:
        config: its config.json: `trainer`, and of the text `buffer`.
        tensors: its ae.pt.
        where: for sentences.

    Raises:
        FaithfulError: another class, a transcoder, a key that is not known, missing or foreign tensors, sizes, k or places
            that do not fit together.
    """
    trainer, buffer = config.get("trainer") or Trainer(), config.get("buffer") or Buffer()
    refuse_unknown(config, ("trainer", "buffer"), {}, where)
    refuse_unknown(trainer, DICTIONARY_READ, DICTIONARY_HARMLESS, where)
    refuse_unknown(buffer, DICTIONARY_BUFFER_READ, DICTIONARY_BUFFER_HARMLESS, f"{where} (buffer)")
    kind = trainer.get("dict_class")
    if kind not in CLASSES:
        raise FaithfulError(f"{where} is of dictionary_learning's class '{kind}'; supported are {', '.join(CLASSES)}.")
    architecture, names = CLASSES[kind]
    held = only(tensors, list(names.values()), where, BESIDE)
    found = {ours: held[theirs].T.contiguous() if theirs in LINEAR.values() and held[theirs].dim() == 2 else held[theirs]
             for ours, theirs in names.items()}  # fmt: skip
    refuse_other_sizes(trainer, "activation_dim", "dict_size", found["W_dec"], where)
    k = whole_k(trainer.get("k"), where) if "topk" in architecture else None
    if k is not None and "k" in held and not held["k"].is_meta and int(held["k"]) != k:
        raise FaithfulError(f"The config of {where} states k {k}, its weights {int(held['k'])}; download it again.")
    metadata = _metadata(trainer, buffer, where)
    if architecture == "gated":
        found = ungated(found)
    W_enc, b_enc, W_dec, b_dec = (found[name] for name in TENSORS)
    if architecture == "topk" and k:
        return TopKSAE(W_enc, b_enc, W_dec, b_dec, k, metadata)
    if kind in WITHOUT_PRE_BIAS:
        b_enc = b_enc + b_dec @ W_enc
    threshold = found.get("threshold", torch.zeros(())).to(b_enc.device).expand_as(b_enc)
    norms = W_dec.norm(dim=1)
    norms = torch.where(norms > 0, norms, 1)
    metadata |= {"training_architecture": architecture, "training_architecture_details": {"k": k}}
    return ThresholdSAE(W_enc * norms, b_enc * norms, W_dec / norms[:, None], b_dec, threshold * norms, metadata)


def _metadata(trainer: Trainer, buffer: Buffer, where: str) -> Metadata:
    """Where it comes from, in SAELens' words. Without a name of its own the place is the layer's output."""
    layer, name = trainer.get("layer"), trainer.get("submodule_name")
    place = parse_hook(name) if name else None
    if layer is not None and (name is None or name in ("resid_post", "resid_pre")):
        place = Hook(layer, name or "resid_post")
    if place and layer is not None and place.layer != layer:
        raise FaithfulError(f"{where} states layer {layer} and submodule_name '{name}'; mend its config.")
    side = buffer.get("io", "out")
    if side not in ("in", "out"):
        raise FaithfulError(f"{where} states io '{side}': it is no autoencoder of one place; choose an SAE.")
    if place and side == "in":
        if place.kind == MODULE:
            raise FaithfulError(f"{where} reads what {name} gets (io 'in'), and studies read what modules give.")
        place = replace(place, kind="resid_pre")
    return {
        "hook_name": place.tl_name if place else name,
        "model_name": trainer.get("lm_name"),
        "context_size": buffer.get("ctx_len"),
        "faithful_seed": trainer.get("seed"),
    }
