"""SAEs in the files of other tools, which name what their readers hook: the output of a module."""

import re
from pathlib import Path

import torch

from faithful.base.errors import FaithfulError
from faithful.base.files import write_json, write_tensors
from faithful.formats.dictionaries import CLASSES, WITHOUT_PRE_BIAS
from faithful.formats.files import CONFIG, SPARSIFY_WEIGHTS, check_sae, write_safetensors
from faithful.hooks.hook import ATTENTIONS, MODULE, parse_hook
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.threshold import ThresholdSAE

TRAINERS = {
    "AutoEncoderTopK": "TopKTrainer",
    "BatchTopKSAE": "BatchTopKTrainer",
    "AutoEncoder": "StandardTrainer",
    "JumpReluAutoEncoder": "JumpReluTrainer",
}
"""The classes that are written, and which of its trainers gives one."""


def module_output(sae: Autoencoder) -> tuple[int, str] | None:
    """Layer and module in it ('' is the layer itself) whose output is what an SAE reads; None where its file does not say.

    What enters layer 8 is what layer 7 gives.

    Raises:
        FaithfulError: what it reads is no module's output.
    """
    hook = sae.hook
    if hook is None:
        return None
    place = None
    if hook.kind.startswith("resid"):
        place = hook.layer - (hook.kind == "resid_pre"), ""
    elif hook.kind == MODULE:
        place = hook.layer, hook.module
    else:
        path = str((sae.metadata.get("faithful") or {}).get("hook_module") or "")
        found = re.fullmatch(rf"[\w.]*\.{hook.layer}\.([\w.]+)\.output", path)
        if found:
            place = hook.layer, found[1]
        elif path:
            raise FaithfulError(
                f"{hook.name} is {path}, which readers of that format cannot hook; publish it as it is."
            )
    if hook.centred:
        raise FaithfulError(
            f"{hook.name} is read without its mean (center_writing_weights), which that format cannot say; publish it as it"
            " is."
        )
    if place is not None and place[0] < 0:
        raise FaithfulError(
            "What enters layer 0 is no layer's output, and readers of that format hook outputs; publish it as it is."
        )
    return place


def export_sparsify(sae: Autoencoder, folder: Path) -> None:
    """Write a TopK SAE as EleutherAI's sparsify does: cfg.json and sae.safetensors.

    Name the folder RUN/HOOKPOINT, the hookpoint being the module whose output is reconstructed (`layers.7` for
    `blocks.8.hook_resid_pre`; `h.7` for GPT-2): `SparseCoder.load_many(RUN, local=True)` reads the names.

    Raises:
        FaithfulError: it is no TopK SAE, weights that are not finite or do not fit together, what it reads is no module's
            output, or the folder is named after another one's.
    """
    if sae.k is None:
        raise FaithfulError(
            f"The SAE for {folder} fires above thresholds ({sae.architecture}), and sparsify's files hold TopK SAEs alone;"
            " write it with save_sae or export_dictionary_learning."
        )
    check_sae(sae, str(folder))
    place, named = module_output(sae), parse_hook(Path(folder).name)
    if place is not None and (named is None or (named.layer, named.module) != place):
        hookpoint = ".".join(filter(None, (f"layers.{place[0]}", place[1])))
        raise FaithfulError(
            f"{sae.hook_name} is the output of {hookpoint}, and readers of sparsify hook what the folder is called; name it"
            f" {hookpoint} (h.{place[0]} in GPT-2), not {Path(folder).name}."
        )
    tensors = {"encoder.weight": sae.W_enc.T, "encoder.bias": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}
    write_safetensors(Path(folder) / SPARSIFY_WEIGHTS, tensors)
    config = {
        "activation": "topk",
        "expansion_factor": max(1, sae.d_sae // sae.d_in),
        "normalize_decoder": True,
        "num_latents": sae.d_sae,
        "k": int(sae.k),
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": sae.d_in,
    }
    write_json(Path(folder) / CONFIG, config)


def export_dictionary_learning(sae: Autoencoder, folder: Path) -> None:
    """Write an SAE as saprmarks' dictionary_learning does: ae.pt and config.json, for `load_dictionary(folder)`.

    A TopK SAE is an AutoEncoderTopK there, one trained by whole batches, with a k and one threshold, a BatchTopKSAE, one
    with thresholds of 0 an AutoEncoder, any other a JumpReluAutoEncoder.

    `layer` is the one whose output is read, as its readers take it: `resid_pre` of layer 8 is layer 7's.

    Raises:
        FaithfulError: weights that are not finite or do not fit together, or what it reads is no module's output.
    """
    check_sae(sae, str(folder))
    place = module_output(sae)
    kind, k = _dictionary_class(sae)
    tensors = {
        theirs: getattr(sae, ours).T if theirs.endswith(".weight") else getattr(sae, ours)
        for ours, theirs in CLASSES[kind][1].items()
    }
    if kind in WITHOUT_PRE_BIAS:
        tensors["b_enc"] = sae.b_enc - sae.b_dec @ sae.W_enc
    if k is not None:
        threshold = sae.threshold[0] if isinstance(sae, ThresholdSAE) else torch.tensor(-1.0)
        tensors |= {"k": torch.tensor(k, dtype=torch.int32), "threshold": threshold}
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_tensors(Path(folder) / "ae.pt", state)
    metadata = sae.metadata
    identity = (metadata.get("faithful") or {}).get("identity") or {}
    trainer = {
        "trainer_class": TRAINERS[kind],
        "dict_class": kind,
        "lr": identity.get("lr"),
        "steps": metadata.get("steps"),
        "seed": metadata.get("faithful_seed"),
        "activation_dim": sae.d_in,
        "dict_size": sae.d_sae,
        "k": k,
        "device": "cpu",
        "layer": place[0] if place else None,
        "lm_name": sae.model_name,
        "wandb_name": kind,
        "submodule_name": _submodule_name(place),
    }
    buffer = {"d_submodule": sae.d_in, "io": "out", "ctx_len": metadata.get("context_size"), "device": "cpu"}
    write_json(Path(folder) / "config.json", {"trainer": trainer, "buffer": buffer})


def _dictionary_class(sae: Autoencoder) -> tuple[str, int | None]:
    """Which of its classes computes what an SAE does, and the k that this one states."""
    if sae.k is not None:
        return "AutoEncoderTopK", int(sae.k)
    batched = re.fullmatch(r"batchtopk-k(\d+)", sae.architecture)
    if batched and isinstance(sae, ThresholdSAE) and bool((sae.threshold == sae.threshold[0]).all()):
        return "BatchTopKSAE", int(batched[1])
    return ("AutoEncoder" if sae.activation == "standard" else "JumpReluAutoEncoder"), None


def _submodule_name(place: tuple[int, str] | None) -> str | None:
    """What its authors call the place: `resid_post_layer_7`, `mlp_out_layer_7`; another module by its path."""
    if place is None:
        return None
    layer, module = place
    known = {"": "resid_post", "mlp": "mlp_out", **dict.fromkeys(ATTENTIONS, "attn_out")}
    return f"{known[module]}_layer_{layer}" if module in known else f"layers.{layer}.{module}"
