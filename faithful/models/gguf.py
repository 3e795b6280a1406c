"""GGUF files: dequantised through transformers, once, into plain folders that every engine loads.

What is made of a file lies in `runs/.models` (or in FAITHFUL_MODELS), named by the file's SHA-256 and by what made it:
`plain`, its config and tokenizer, which is all that planning and tokenising need, and a folder per dtype with the weights
beside them. Who makes one holds a lock and others wait; a folder counts once `made` names the hash of its files.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError, one_line
from faithful.base.files import (
    lock_file,
    open_own,
    reason_of,
    remove_temporaries,
    write_atomically,
    write_text,
)
from faithful.base.records import read_record, write_record
from faithful.models.checkpoint import load_checkpoint, named
from faithful.models.files import folder_revision, hash_once, read_model_json
from faithful.models.gguf_header import GgufHeader, read_header
from faithful.models.gguf_rope import rope_parameters
from faithful.models.real import PREFIX, real_model

FORMAT = 2
"""Counts changes of what is made of a file."""
ENDING = ".gguf"
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
GPT2_SPLITS = ("", "default", "gpt-2", "gpt2", "mpt", "olmo", "jais", "trillion", "granite-docling")
"""How text is split before its bytes are merged (`tokenizer.ggml.pre`): as GPT-2 does, in DIGITS_APART each digit first."""
HEADER, MADE = "header.json", "made"


def gguf_file(model: str) -> Path | None:
    """The GGUF file that a model's name stands for: itself, that of `real:NAME`, the one in a folder without config.json.

    Raises:
        FaithfulError: it is not there; a folder holds several.
    """
    if model.startswith(PREFIX):
        return real_model(model)
    path = Path(os.path.abspath(Path(model).expanduser()))  # noqa: PTH100 (resolve() would lose the name of a linked file)
    if path.suffix.lower() == ENDING and not path.is_dir():
        if not path.is_file():
            raise FaithfulError(f"There is no file {model}; check the path.")
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    files = sorted(one for one in path.iterdir() if one.suffix.lower() == ENDING)
    if len(files) > 1:
        names = ", ".join(one.name for one in files[:4])
        raise FaithfulError(
            f"{model} holds {len(files)} GGUF files ({names}{', …' if len(files) > 4 else ''}); name one."
        )
    return files[0] if files else None


def gguf_revision(file: Path) -> str:
    """`sha256:…` of a file, hashed once per process while it stays what it is."""
    try:
        return f"sha256:{hash_once(file)}"
    except OSError as error:
        raise FaithfulError(f"The model file {file} is gone ({reason_of(error)}); put it back.") from error


def plain_files(file: Path) -> tuple[Path, GgufHeader]:
    """The folder with a file's config and tokenizer, and its header, made where they are not there.

    Raises:
        FaithfulError: the file is none that can be read: not of a whole causal LM, of an architecture or with a tokenizer
            that transformers does not build from GGUF; the folder cannot be written.
    """
    folder = _place(file) / "plain"
    found: list[GgufHeader] = []

    def make() -> None:
        found.append(read_header(file))
        with _alone_in_folder(file) as link:
            _write_config(link, file, folder, found[0])
            _write_tokenizer(link, file, folder, found[0])
        write_record(folder / HEADER, asdict(found[0]))

    _make_once(folder, make)
    return folder, found[0] if found else GgufHeader.from_dict(read_record(folder / HEADER, dict))


def dequantised(file: Path, dtype: str) -> Path:
    """The folder with a file's weights in `dtype`, its config and its tokenizer: a plain checkpoint, made once.

    Raises:
        FaithfulError: see `plain_files`; tensors that the file lacks, or that transformers would not use.
    """
    folder, (plain, header) = _place(file) / dtype, plain_files(file)

    def make() -> None:
        with _alone_in_folder(file) as link:
            _write_weights(link, file, folder, dtype, header)
        for path in sorted(plain.iterdir()):
            if path.name not in (HEADER, MADE):
                write_atomically(folder / path.name, lambda target, path=path: shutil.copyfile(path, target))  # type: ignore[misc]
        config = read_model_json(plain / "config.json")
        write_text(folder / "config.json", json.dumps(config | {"dtype": dtype}, indent=1) + "\n")

    _make_once(folder, make)
    return folder


def _place(file: Path) -> Path:
    from importlib.metadata import version

    made_by = [FORMAT, gguf_revision(file), version("transformers"), version("gguf")]
    name = "".join(one if one.isalnum() or one in "._-" else "-" for one in file.stem)[:80]
    return Path(os.environ.get("FAITHFUL_MODELS") or Path("runs") / ".models") / f"{name}-{digest(made_by)[:16]}"


_checked: dict[Path, int] = {}


def _make_once(folder: Path, make: Callable[[], None]) -> None:
    """Fill a folder that is not whole, alone; it is compared with the hash of its files once per process."""
    if _is_whole(folder):
        return
    with _waiting_lock(folder):
        if _is_whole(folder):  # who was waited for made it
            return
        if folder.exists():
            shutil.rmtree(folder)
        make()
        remove_temporaries(folder)
        write_text(folder / MADE, folder_revision(folder) + "\n")
        _checked[folder.resolve()] = (folder / MADE).stat().st_mtime_ns


def _is_whole(folder: Path) -> bool:
    made, key = folder / MADE, folder.resolve()
    if not made.is_file() or not (folder / "config.json").is_file():
        return False
    stamp = made.stat().st_mtime_ns
    if _checked.get(key) != stamp:
        if made.read_text(encoding="utf-8", errors="replace").strip() != folder_revision(folder):
            return False
        _checked[key] = stamp
    return True


@contextmanager
def _waiting_lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, waiting for whoever holds it: what they make is what is wanted here."""
    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_own(path)
    except OSError as error:
        raise FaithfulError(
            f"Cannot write what is made of a GGUF file to {path.parent}: {reason_of(error)}; free space, or name another"
            " folder in FAITHFUL_MODELS."
        ) from error
    with file:
        lock_file(file, path, fcntl.LOCK_EX)
        yield


@contextmanager
def _alone_in_folder(file: Path) -> Iterator[str]:
    """A folder that holds a link to the file and nothing else: what lies beside a GGUF file is not read."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.gguf").symlink_to(file.resolve())
        yield folder


def _write_config(link: str, file: Path, folder: Path, header: GgufHeader) -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config = AutoConfig.from_pretrained(link, gguf_file="model.gguf", trust_remote_code=False)
    except Exception as error:
        raise FaithfulError(
            f"transformers cannot read GGUF files of the architecture '{header.architecture}' ({file.name}:"
            f" {_without(link, error)}); give the model's own folder, or a GGUF file of another model."
        ) from error
    stated: dict[str, Any] = config.to_dict() | rope_parameters(config, header, file)
    for name in ("_name_or_path", "_model_name_or_path", "quantization_config", "bos_token_id", "eos_token_id"):
        stated.pop(name, None)
    ids = {
        "bos_token_id": list(header.bos.values())[:1],
        "eos_token_id": [one for few in header.eos.values() for one in few],
    }
    stated |= {name: few[0] if len(few) == 1 else few or None for name, few in ids.items()}
    architecture = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    write_text(folder / "config.json", json.dumps(stated | {"architectures": [architecture]}, indent=1) + "\n")


def _write_tokenizer(link: str, file: Path, folder: Path, header: GgufHeader) -> None:
    """What transformers builds, without the tokens that its class adds behind the file's own (GPT-2's `<|endoftext|>`).

    Where it does not know how text is split, it splits as GPT-2 does.
    """
    from transformers import AutoTokenizer
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if header.splits not in (*DIGITS_APART, *GPT2_SPLITS, *GGUF_PRE_TOKENIZER_SPLITS):
        raise FaithfulError(
            f"The tokenizer of {file} splits text as '{header.splits}' does, which transformers does not read from GGUF"
            " files; give the model's own folder."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(link, gguf_file="model.gguf", trust_remote_code=False)
    except Exception as error:
        raise FaithfulError(
            f"transformers cannot build the tokenizer of {file} ({_without(link, error)}); give the model's own folder, or a"
            " GGUF file with another tokenizer."
        ) from error
    with tempfile.TemporaryDirectory() as made:
        tokenizer.save_pretrained(made)
        built = read_model_json(Path(made) / "tokenizer.json")
        built["added_tokens"] = [one for one in built["added_tokens"] if one["id"] < header.tokens]
        if header.splits in DIGITS_APART:
            apart = {"type": "Digits", "individual_digits": True}
            built["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [apart, built["pre_tokenizer"]]}
        (Path(made) / "tokenizer.json").write_text(json.dumps(built, ensure_ascii=False), encoding="utf-8")
        for path in sorted(Path(made).iterdir()):
            write_text(folder / path.name, path.read_text(encoding="utf-8"))


def _write_weights(link: str, file: Path, folder: Path, dtype: str, header: GgufHeader) -> None:
    """The state of the model that transformers loads; weights that are tied are written once."""
    import torch
    from safetensors.torch import save_file

    try:
        model = load_checkpoint(link, None, gguf_file="model.gguf", dtype=getattr(torch, dtype))
    except FaithfulError as error:
        raise FaithfulError(str(error).replace(f"{link}", str(file))) from error
    _refuse_unused(model, file, header)
    tied = set(getattr(model, "_tied_weights_keys", None) or ()) if model.config.tie_word_embeddings else set()
    state = {name: one.contiguous() for name, one in model.state_dict().items() if name not in tied}
    write_atomically(folder / "model.safetensors", lambda target: save_file(state, target, metadata={"format": "pt"}))


def _refuse_unused(model: Any, file: Path, header: GgufHeader) -> None:
    """Refuse tensors that transformers leaves out without a word: it would not be the model that was trained.

    Raises:
        FaithfulError: there are some, but for rotary factors, which the config tells.
    """
    from gguf import GGUFReader
    from transformers import modeling_gguf_pytorch_utils as reading

    if header.architecture not in reading.GGUF_SUPPORTED_ARCHITECTURES:
        return  # Qwen3.5 is read another way, which names what it does not use; mixtures of experts have names of their own
    config = model.config.to_dict()
    processor = reading.TENSOR_PROCESSORS.get(header.architecture, reading.TensorProcessor)(config=config)
    known = reading.get_gguf_hf_weights_map(model, processor)
    unused = sorted({one.name for one in GGUFReader(file).tensors} - set(known) - {"rope_freqs.weight"})
    if unused:
        raise FaithfulError(
            f"{file} holds {named(unused)} that transformers does not use in a {header.architecture}: it would not be the"
            " model that was trained; give the model's own folder."
        )


def _without(link: str, error: Exception) -> str:
    """What went wrong, without the folder that the file was read through."""
    return one_line(error).replace(f"{link}/", "").replace(link, "")
