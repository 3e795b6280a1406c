"""The weights of a checkpoint, all of them: what a model lacks, does not use or has in another shape is refused by name.

Of the tensors that a model does not use these change nothing that it says of text, and are let through:

- buffers that are computed from the config: what the model itself computes under that name; rotary frequencies, position
  ids, and causal masks of older versions, told from a bias of attention by their shape (`attn.bias` of GPT-2 is
  [1, 1, n, n], a bias a vector);
- towers for images, sound and video and what joins them to the text, which text does not pass;
- heads that predict further tokens than the next (MTP), named so, or in as many layers behind the last one as the config
  states (`num_nextn_predict_layers`);
- what transformers names itself as left out for the family, but for layers behind the last one that are no stated MTP.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError, one_line
from faithful.models.files import optional_file, read_model_json

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
COMPUTED = {"inv_freq", "original_inv_freq", "cos_cached", "sin_cached", "masked_bias", "position_ids", "causal_mask"}
MODALITIES = re.compile(r"(^|\.)(vision|visual|image|audio|sound|speech|video|multi_modal|mm_|embed_(vision|audio))")
FURTHER_TOKENS = re.compile(r"(^|\.)mtp(_|\.|$)")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer)\.(\d+)\.")
MTP_LAYERS = ("num_nextn_predict_layers", "num_mtp_layers")
NAMED = 3


def load_checkpoint(source: str, revision: str | None, **options: Any) -> Any:
    """The causal LM with the weights of a checkpoint.

    Args:
        source: Hub id or folder.
        revision: commit on the Hub, None for a folder.
        options: of `from_pretrained`: dtype, attention, device map.

    Raises:
        FaithfulError: an adapter; weights that cannot be read, that the model lacks, does not use or has in another shape.
    """
    from transformers import AutoModelForCausalLM

    refuse_adapter(source, revision)
    auto: Any = AutoModelForCausalLM
    try:
        with _without_bars():
            model, info = auto.from_pretrained(
                source,
                revision=revision,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except Exception as error:
        raise FaithfulError(f"Cannot load the weights of {source}: {_why(error)}.") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise FaithfulError(
            f"The weights of {source} lack {named(missing)} that its config.json asks for;"
            " download the model again, or mend its config.json."
        )
    if info["mismatched_keys"]:
        name, stored, wanted = min(info["mismatched_keys"])
        raise FaithfulError(
            f"The weights of {source} hold {named(sorted(key[0] for key in info['mismatched_keys']))} of another shape than"
            f" its config.json asks for: {name} has {list(stored)}, by the config {list(wanted)}. Take the config.json that"
            " belongs to the weights."
        )
    unused = _unused(model, source, revision, set(info["unexpected_keys"]))
    if unused:
        raise FaithfulError(
            f"The weights of {source} hold {named(unused)} that {type(model).__name__} does not use with this config.json:"
            " it would not be the model that was trained. Take the config.json that belongs to the weights, or weights"
            " without them."
        )
    return model


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without transformers' bar for loading weights, unless it was put away before; what is fetched shows its own."""
    from transformers.utils import logging

    shown = getattr(logging, "_tqdm_active", True)
    logging._tqdm_active = False
    try:
        yield
    finally:
        logging._tqdm_active = shown


def refuse_adapter(source: str, revision: str | None) -> None:
    """Refuse a LoRA or another adapter, alone or beside full weights: transformers applies one where `peft` is installed
    and nowhere else.

    Raises:
        FaithfulError: there is an adapter_config.json.
    """
    path = optional_file(source, "adapter_config.json", revision)
    if path is None:
        return
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("peft_type") or "PEFT"
    except (ValueError, AttributeError, RecursionError):
        kind = "PEFT"
    raise FaithfulError(
        f"{source} holds an adapter ({str(kind)[:20]}, adapter_config.json), which is not applied here; merge it into the"
        " model's weights (peft: merge_and_unload, save_pretrained) and give that folder, or take adapter_config.json away"
        " where the weights are merged already."
    )


def _unused(model: Any, source: str, revision: str | None, unexpected: set[str]) -> list[str]:
    """Names of tensors that the model does not use and that cannot be let through, sorted.

    `unexpected` lacks those that transformers leaves out for the family: of these the numbered layers are looked at again.
    """
    config = model.config.get_text_config()
    ignored = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    if not unexpected and not any("layers" in pattern.pattern for pattern in ignored):
        return []
    shapes = stored_shapes(source, revision)
    known, computed = set(model.state_dict()), {name for name, _ in model.named_buffers()}
    hidden = {
        name
        for name in shapes
        if name not in known and any(pattern.search(name) for pattern in ignored) and _is_extra_layer(name, config)
    }
    left = unexpected - computed
    return sorted({name for name in left if not _is_harmless(name, _shape(name, shapes), config)} | hidden)


def _is_harmless(name: str, shape: tuple[int, ...] | None, config: Any) -> bool:
    parts = name.split(".")
    if MODALITIES.search(name) or FURTHER_TOKENS.search(name) or parts[-1] in COMPUTED:
        return True
    if parts[-1] == "bias" and parts[-2:-1] in (["attn"], ["attention"]):
        return shape is not None and len(shape) >= 2 and shape[-1] == shape[-2]
    found = LAYER.search(name)
    return found is not None and _count(config) <= int(found[1]) < _count(config) + _further(config)


def _is_extra_layer(name: str, config: Any) -> bool:
    found = LAYER.search(name)
    return found is not None and int(found[1]) >= _count(config) + _further(config) and not MODALITIES.search(name)


def _count(config: Any) -> int:
    return int(getattr(config, "num_hidden_layers", None) or 0)


def _further(config: Any) -> int:
    """Layers behind the last one that predict further tokens."""
    return max((int(getattr(config, name, None) or 0) for name in MTP_LAYERS), default=0)


def _shape(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Shape of a tensor under the name that the model would give it: files may leave out the base model's prefix."""
    if name in shapes:
        return shapes[name]
    return next((shape for one, shape in shapes.items() if one.endswith(f".{name}") or name.endswith(f".{one}")), None)


def stored_shapes(source: str, revision: str | None) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a checkpoint's files, read from their headers."""
    for name in WEIGHT_FILES:
        path = optional_file(source, name, revision)
        if path is None:
            continue
        if not name.endswith(".index.json"):
            return _shapes_in(path)
        shards = sorted(set(dict(read_model_json(path).get("weight_map") or {}).values()))
        files = [optional_file(source, shard, revision) for shard in shards]
        return {one: shape for file in files if file for one, shape in _shapes_in(file).items()}
    return {}


def _shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    import torch

    tensors = torch.load(path, map_location="meta", weights_only=True)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def named(names: list[str]) -> str:
    """`the tensor a`, or `5 tensors (a, b, c, …)`."""
    if len(names) == 1:
        return f"the tensor {names[0]}"
    return f"{len(names)} tensors ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})"


def _why(error: Exception) -> str:
    """What went wrong while weights were read; torch's advice to read anything whatsoever is left out."""
    import errno
    import pickle

    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return "a file of weights is damaged or cut off; download the model again"
    if isinstance(error, pickle.UnpicklingError):
        blocked = re.search(r"(?:GLOBAL|Unsupported global:(?: GLOBAL)?) (\S+)", str(error))
        if blocked is None:
            return "a .bin file is no PyTorch checkpoint, damaged or cut off; download the model again"
        return (
            f"a .bin file holds more than tensors ({blocked[1]}), and reading that would run code of the file's; take"
            " weights in safetensors, or convert the file where you trust it"
        )
    return one_line(error)
