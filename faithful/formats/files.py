"""SAEs on disk and on the Hub: written as SAELens 6 writes them, read from SAELens, sparsify and dictionary_learning."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError, one_line
from faithful.base.files import write_atomically, write_json
from faithful.base.records import check_archive, read_record
from faithful.formats.dictionaries import from_dictionary_learning
from faithful.formats.keys import SAE_LENS_HARMLESS, SAE_LENS_READ, refuse_unknown
from faithful.formats.peers import from_sae_lens, from_sparsify
from faithful.formats.record import MEND, Config, Run, read_config, seal_config, weights_sha256
from faithful.hub.repository import Repository
from faithful.sae.autoencoder import Autoencoder

CONFIG = "cfg.json"
WEIGHTS, SPARSITY = "sae_weights.safetensors", "sparsity.safetensors"
SPARSIFY_CONFIG, SPARSIFY_WEIGHTS = "config.json", "sae.safetensors"
DICTIONARY_CONFIG, DICTIONARY_WEIGHTS = "config.json", "ae.pt"
SEED = re.compile(r"seed-?(\d+)")
METADATA: dict[str, Any] = {
    "sae_lens_version": "6.54.12",
    "sae_lens_training_version": None,
    "model_name": None,
    "hook_name": None,
    "hook_head_index": None,
    "context_size": None,
    "prepend_bos": True,
    "seqpos_slice": [None],
    "model_from_pretrained_kwargs": {"center_writing_weights": False},
    "dataset_path": None,
    "exclude_special_tokens": True,
}


def save_sae(folder: Path, sae: Autoencoder, metadata: Mapping[str, Any], sparsity: Tensor | None = None) -> None:
    """Write an SAE in SAELens 6's layout, float32; each file is whole or absent, cfg.json comes last.

    One with thresholds of 0 is `standard` there, with others `jumprelu`, whatever it was trained as.

    Args:
        folder: made where it is missing.
        sae: what to write.
        metadata: over the SAE's own and the defaults: `model_name` and `hook_name` in TransformerLens' words,
            `context_size`, `prepend_bos`, `dataset_path`, `training_architecture` with its `training_architecture_details`
            …; anything else that JSON can hold goes under `notes`, since a key that readers do not know might change
            activations.
        sparsity: [d_sae], log10 of each latent's firing frequency.

    Raises:
        FaithfulError: weights or sparsity that are not finite or do not fit together, metadata that JSON cannot hold or
            `load_sae` would not read.
    """
    folder = Path(folder)
    check_sae(sae, str(folder))
    refuse_unknown([*sae.metadata, *metadata], SAE_LENS_READ, SAE_LENS_HARMLESS, str(folder))
    is_topk, is_standard = sae.k is not None, sae.activation == "standard"
    config = {
        "architecture": sae.activation,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        **({"k": int(sae.k)} if sae.k is not None else {}),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **({"rescale_acts_by_decoder_norm": False} if is_topk else {}),
        "metadata": {**METADATA, **sae.metadata, **metadata},
    }
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FaithfulError(f"The metadata for {folder} cannot be written as JSON ({error}); mend it.") from error
    if sparsity is not None:
        if sparsity.shape != (sae.d_sae,) or not bool(torch.isfinite(sparsity).all()):
            raise FaithfulError(f"The sparsity for {folder} is not {sae.d_sae} finite numbers; compute it again.")
        write_safetensors(folder / SPARSITY, {"sparsity": sparsity})
    written = [name for name in sae.tensors if not (name == "threshold" and is_standard)]
    write_safetensors(folder / WEIGHTS, {name: getattr(sae, name) for name in written})
    write_json(folder / CONFIG, seal_config(cast(Config, config)))


def load_sae(source: str | Path, subfolder: str | None = None, *, revision: str | None = None) -> Autoencoder:
    """Read an SAE of SAELens (topk, jumprelu, gated, standard), sparsify or dictionary_learning, in float32 on the CPU.

    What these do at run time is folded into the weights, so that one rule computes them all.

    Args:
        source: a folder, or the name of a Hub repository.
        subfolder: place of the SAE inside it.
        revision: of the repository.

    Raises:
        FaithfulError: nothing there, an architecture that is not supported, weights that are damaged or not finite.
    """
    folder = locate_sae(source, subfolder, revision=revision)
    config = folder_config(folder)
    sae = _read_folder(folder, config, _read_tensors)
    trained = weights_sha256(config)
    if trained is not None and sae.sha256() != trained:
        raise FaithfulError(f"The weights in {folder} are not those that its {CONFIG} was written for; {MEND}.")
    return sae


def outline_sae(folder: Path) -> Autoencoder:
    """The SAE in a folder without its numbers: tensors on the `meta` device, of which the header of the weights says all.

    Raises:
        FaithfulError: what `load_sae` refuses, apart from what only the numbers show.
    """
    return _read_folder(folder, folder_config(folder), _read_header)


def folder_config(folder: Path) -> Config:
    """What the SAE in a folder says of itself: its cfg.json, or the config.json beside dictionary_learning's ae.pt.

    Raises:
        FaithfulError: see `read_config`.
    """
    if _is_dictionary(folder):
        return read_record(folder / DICTIONARY_CONFIG, Config, MEND)
    return read_config(folder / CONFIG)


def load_tensor(path: Path, name: str) -> Tensor:
    """One tensor of a file of weights, as it stands there; its numbers come into memory when they are used.

    Raises:
        FaithfulError: the file cannot be read.
    """
    from safetensors import safe_open

    with _readable(path), safe_open(path, "pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def locate_sae(source: str | Path, subfolder: str | None = None, *, revision: str | None = None) -> Path:
    """Folder of an SAE: as given, or in the local cache after its files were fetched from the Hub.

    Raises:
        FaithfulError: neither a folder nor a Hub repository's name, or the files cannot be fetched.
    """
    folder = Path(source) / (subfolder or "")
    if folder.is_dir():
        return folder
    name = str(source)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise FaithfulError(f"There is no folder {folder}; give the folder of an SAE or the name of a Hub repository.")
    return _download(name, subfolder, revision)


def weights_file(folder: Path) -> Path:
    """The weights of the SAE in a folder, in the name of SAELens, sparsify or dictionary_learning.

    Raises:
        FaithfulError: there are none.
    """
    for name in (WEIGHTS, SPARSIFY_WEIGHTS, DICTIONARY_WEIGHTS):
        if (folder / name).exists():
            return folder / name
    raise FaithfulError(f"{folder} holds no weights beside its {CONFIG}; name another SAE.")


def check_sae(sae: Autoencoder, where: str) -> None:
    """Refuse an SAE that cannot be right.

    Raises:
        FaithfulError: shapes that do not fit together, numbers that are not finite, a k out of range.
    """
    d_sae, d_in = sae.W_dec.shape if sae.W_dec.dim() == 2 else (-1, -1)
    expected = {
        "W_enc": (d_in, d_sae),
        "b_enc": (d_sae,),
        "W_dec": (d_sae, d_in),
        "b_dec": (d_in,),
        "threshold": (d_sae,),
    }
    for name, shape in expected.items():
        tensor = getattr(sae, name, None)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise FaithfulError(f"{name} of {where} has shape {tuple(tensor.shape)}, its decoder wants {shape}.")
        if not tensor.is_meta and not bool(torch.isfinite(torch.stack(tensor.aminmax())).all()):
            raise FaithfulError(
                f"{name} of {where} holds numbers that are not finite; train or download the SAE again."
            )
    if sae.k is not None and not 1 <= sae.k <= d_sae:
        raise FaithfulError(f"k of {where} is {sae.k}, and it has {d_sae} latents.")


def _is_dictionary(folder: Path) -> bool:
    return (folder / DICTIONARY_WEIGHTS).exists() and not (folder / CONFIG).exists()


def _read_folder(folder: Path, config: Config, read: Callable[[Path], dict[str, Tensor]]) -> Autoencoder:
    where = str(folder)
    sae: Autoencoder
    try:
        if _is_dictionary(folder):
            sae = from_dictionary_learning(config, read(folder / DICTIONARY_WEIGHTS), where)
        elif (folder / SPARSIFY_WEIGHTS).exists():
            place = folder.parent if SEED.fullmatch(folder.name) else folder
            run = place.parent / SPARSIFY_CONFIG
            stated = read_record(run, Run, MEND) if run.exists() else None
            tensors = read(folder / SPARSIFY_WEIGHTS)
            sae = from_sparsify(config, tensors, place.name, where, stated)
        else:
            sae = from_sae_lens(config, read(folder / WEIGHTS), where)
    except (RuntimeError, IndexError) as error:  # of torch, where what is computed of them fails
        raise FaithfulError(f"The weights of {where} do not fit together ({one_line(error)}); {MEND}.") from error
    check_sae(sae, where)
    return sae


def _download(repo: str, subfolder: str | None, revision: str | None) -> Path:
    """Folder of a Hub repository's SAE in the local cache, with the files that are there."""
    place, hub = f"{repo}/{subfolder}" if subfolder else repo, Repository(repo, "model")

    def fetch(name: str) -> Path | None:
        return hub.find(name, revision)

    prefix = f"{subfolder}/" if subfolder else ""
    config = fetch(prefix + CONFIG)
    if config is None and (fetch(prefix + DICTIONARY_WEIGHTS) and (config := fetch(prefix + DICTIONARY_CONFIG))):
        return config.parent
    if config is None:
        raise FaithfulError(f"{place} holds no {CONFIG}; name the SAE's place in the repository.")
    if fetch(prefix + WEIGHTS) is None:
        if fetch(prefix + SPARSIFY_WEIGHTS) is None:
            raise FaithfulError(f"{place} holds no weights beside its {CONFIG}; name another SAE.")
        above = prefix.split("/")[:-2]
        is_one_of_seeds = len(prefix.split("/")) > 2 and SEED.fullmatch(prefix.split("/")[-2])
        fetch("/".join([*(above[:-1] if is_one_of_seeds else above), SPARSIFY_CONFIG]))
    return config.parent


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with _readable(path):
        return _unpickled(path, "cpu") if path.name == DICTIONARY_WEIGHTS else load_file(path)


def _read_header(path: Path) -> dict[str, Tensor]:
    """Tensors without numbers, float32 on `meta`."""
    from safetensors import safe_open

    if path.name == DICTIONARY_WEIGHTS:
        with _readable(path):
            return _unpickled(path, "meta")
    with _readable(path), safe_open(path, "pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no dict)
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _unpickled(path: Path, device: str) -> dict[str, Tensor]:
    """Tensors that `torch.save` wrote; nothing but tensors is let in."""
    check_archive(path, MEND, tensors=device != "meta")
    held = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise ValueError("it holds something else than the tensors of one SAE")
    return held


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file of tensors, as a sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError:
        raise FaithfulError(f"{path.parent} holds no {path.name}; download or export the SAE again.") from None
    except UnpicklingError as error:
        raise FaithfulError(f"{path} holds other things than tensors; download or export the SAE again.") from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; download or export the SAE again.") from error


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    plain = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda temporary: save_file(plain, temporary))
