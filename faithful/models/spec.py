"""Causal language models: resolve one to something that cannot change under us, and load it.

Everything here works on Hub ids, on local folders and on preset names; nothing runs a repository's own code.
"""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.models.causality import refuse_other_tasks
from faithful.models.checkpoint import refuse_adapter
from faithful.models.files import folder_name, folder_revision, hub_revision, load_config, stated_json
from faithful.models.gguf import ENDING, dequantised, gguf_file, gguf_revision, plain_files
from faithful.models.presets import DEFAULT_CONTEXT, Preset, find_preset
from faithful.models.real import PREFIX
from faithful.models.special_ids import SpecialIds, stated_ids
from faithful.models.tokenizer import load_tokenizer, strings_of, tokenizer_hash

DTYPES = ("float32", "bfloat16", "float16")
LOADS = ("full", "8bit", "4bit")
SAMPLING_FIELDS = (
    "do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens", "max_length", "max_new_tokens",
    "suppress_tokens", "bad_words_ids", "forced_bos_token_id", "forced_eos_token_id",
)  # fmt: skip


@dataclass(frozen=True)
class ModelSpec:
    """A causal LM, resolved.

    Attributes:
        name: preset name, Hub id or folder name: what people call it.
        source: what it is given by, a Hub id, a folder, a GGUF file or `real:NAME`; see `files` and `weights`.
        revision: commit sha on the Hub, or `sha256:…` over the files of a folder, or of a GGUF file.
        dtype: `float32`, `bfloat16` or `float16`: the type it runs in.
        bos_id: the token every context begins with.
        bos_from: where `bos_id` was found.
        eos_ids: every end-of-text id, sorted.
        vocab_size: rows of the output matrix; ids ≥ `mapped`, and those in `holes`, have no string.
        mapped: the largest id below `vocab_size` that the tokenizer has a string for, and one.
        positions: longest context in tokens over which it is one model (`_positions`), 0 where it states none.
        tokenizer_sha256: hash over the pairs (token, id).
        generation_config: sampling fields of the model's generation_config.json, which are *not* applied.
        licence: Hub licence tag, None when unknown.
        language: Hub language tag, None when unknown.
        family: licence family of the preset, else the model type.
        holes: runs [first, end) of ids below `mapped` that the tokenizer has no string for; most have none.
        load: `8bit` or `4bit` where the weights are quantised as they are loaded, which makes it another model; None as they
            are.
        sharded: whether its layers are spread over all GPUs that torch sees: how it runs, not what it is, and never recorded.
    """

    name: str
    source: str
    revision: str
    dtype: str
    bos_id: int
    bos_from: str
    eos_ids: tuple[int, ...]
    vocab_size: int
    mapped: int
    positions: int
    tokenizer_sha256: str
    generation_config: dict[str, Any]
    licence: str | None
    language: str | None
    family: str
    holes: tuple[tuple[int, int], ...] = ()
    load: str | None = None
    sharded: bool = False

    @property
    def precision(self) -> str:
        """What its numbers are: `dtype`, and how it was quantised: `bfloat16`, `bfloat16, 4bit`."""
        return f"{self.dtype}, {self.load}" if self.load else self.dtype

    @property
    def preset(self) -> Preset | None:
        """Its settings, where it is one of the models that have a short name."""
        return find_preset(self.name)

    @property
    def asked(self) -> str:
        """What a command line names it by: its preset, else what it is given by."""
        return self.name if self.preset else self.source

    @property
    def default_context(self) -> int:
        """Tokens per context where none are stated, BOS included: the preset's, else at most 512."""
        return self.preset.context if self.preset else min(DEFAULT_CONTEXT, self.positions or DEFAULT_CONTEXT)

    def string_ids(self) -> np.ndarray:
        """The ids that the tokenizer has a string for, int64, ascending."""
        has_string = np.ones(self.mapped, dtype=bool)
        for first, end in self.holes:
            has_string[first:end] = False
        return np.flatnonzero(has_string)

    @property
    def file(self) -> Path | None:
        """The GGUF file that `source` is, else None."""
        return (
            gguf_file(self.source) if self.source.startswith(PREFIX) or self.source.lower().endswith(ENDING) else None
        )

    @property
    def files(self) -> str:
        """Where its config and its tokenizer are read: `source`, or the folder that is made of a GGUF file.

        Raises:
            FaithfulError: the GGUF file is another one than was resolved.
        """
        file = self._unchanged_file()
        return str(plain_files(file)[0]) if file else self.source

    @property
    def weights(self) -> str:
        """Where its weights are read: `source`, or the folder that a GGUF file is dequantised into.

        Raises:
            FaithfulError: the GGUF file is another one than was resolved.
        """
        file = self._unchanged_file()
        return str(dequantised(file, self.dtype)) if file else self.source

    def _unchanged_file(self) -> Path | None:
        if self.file:
            check_unchanged(self)
        return self.file

    @property
    def is_local(self) -> bool:
        """Whether `source` is on this machine and never on the Hub."""
        return self.revision.startswith("sha256:")

    def hub_revision(self) -> str | None:
        """The `revision` argument of from_pretrained."""
        return None if self.is_local else self.revision


def resolve_model(
    model: str,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    bos: int | None = None,
    device: str = "cpu",
    load: str | None = None,
) -> ModelSpec:
    """Find a model, pin its revision, and read everything that decides what it samples.

    BOS is, in this order: the `bos` given; the tokenizer's, the config's, generation_config.json's; the end-of-text of the
    same. Only what the files state counts, never what a class of transformers says where they are silent.

    Args:
        model: preset name, Hub id, folder, GGUF file or `real:NAME`.
        revision: branch, tag or sha on the Hub; None is `main`.
        dtype: one of DTYPES; None is float32 on a CPU, elsewhere the preset's or the checkpoint's own type.
        bos: token id to start from.
        device: `cpu` or `cuda`: decides the default dtype only.
        load: one of LOADS; None is `full`.

    Raises:
        FaithfulError: unknown, gated or unreachable model, not a causal LM we can load, no BOS, a bad dtype; see `with_load`.
    """
    if load is not None:
        check_load(load)
        return with_load(resolve_model(model, revision=revision, dtype=dtype, bos=bos, device=device), load)
    preset = find_preset(model)
    file = None if preset else gguf_file(model)
    if file is not None:
        return _resolve_gguf(model, file, revision=revision, dtype=dtype, bos=bos, device=device)
    source = preset.source if preset else model
    folder = Path(source)
    if preset and not folder.is_absolute():
        _refuse_shadowed(source)
    local = folder.is_dir()
    if not local and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise FaithfulError(f"There is no model folder {source}; check the path.")
    if local and revision:
        raise FaithfulError(f"{source} is a folder and has no revisions; leave --revision out.")
    commit, licence = (None, None) if local else hub_revision(source, revision)
    refuse_adapter(source, commit)
    pinned = commit or folder_revision(folder)
    config = load_config(source, commit)
    refuse_other_tasks(config, source)
    tokenizer = load_tokenizer(source, commit)
    generation = stated_json(source, "generation_config.json", commit)
    return ModelSpec(
        name=preset.name if preset else (folder_name(folder) if local else source),
        source=str(folder.resolve()) if local else source,
        revision=pinned,
        dtype=_dtype(dtype, preset, config, device),
        generation_config={k: generation[k] for k in SAMPLING_FIELDS if generation.get(k) is not None},
        licence=preset.licence if preset else licence,
        language=preset.language if preset else None,
        family=preset.family if preset else str(config.get_text_config().model_type),
        **_vocabulary(config, tokenizer, stated_ids(source, commit, config, tokenizer), bos, source),
    )


def _resolve_gguf(
    model: str, file: Path, *, revision: str | None, dtype: str | None, bos: int | None, device: str
) -> ModelSpec:
    """A GGUF file, resolved: what it states counts, as files of a folder do."""
    if revision:
        raise FaithfulError(f"{model} is a file and has no revisions; leave --revision out.")
    plain, header = plain_files(file)
    config = load_config(str(plain), None)
    refuse_other_tasks(config, str(file))
    stated = SpecialIds(header.bos, header.eos)
    return ModelSpec(
        name=header.called,
        source=model if model.startswith(PREFIX) else str(file),
        revision=gguf_revision(file),
        dtype=check_dtype(dtype) if dtype else "float32" if device == "cpu" else header.dtype,
        generation_config={},
        licence=header.licence,
        language=header.language,
        family=str(config.get_text_config().model_type),
        **_vocabulary(config, load_tokenizer(str(plain), None), stated, bos, str(file)),
    )


def _vocabulary(config: Any, tokenizer: Any, stated: SpecialIds, bos: int | None, source: str) -> dict[str, Any]:
    """What a model's ids are: the fields of a `ModelSpec` that config and tokenizer decide.

    Raises:
        FaithfulError: no BOS, or one outside the vocabulary.
    """
    text_config = config.get_text_config()
    bos_id, bos_from = stated.start(bos, source)
    vocab_size = int(text_config.vocab_size)
    if not 0 <= bos_id < vocab_size:
        raise FaithfulError(
            f"BOS id {bos_id} is outside {source}'s vocabulary of {vocab_size}; give another --bos, or the model that it"
            " is of."
        )
    mapped, holes = strings_of(tokenizer, vocab_size)
    return {
        "bos_id": bos_id,
        "bos_from": bos_from,
        "eos_ids": stated.ends(vocab_size),
        "vocab_size": vocab_size,
        "mapped": mapped,
        "holes": holes,
        "positions": _positions(text_config),
        "tokenizer_sha256": tokenizer_hash(tokenizer),
    }


def in_words(load: str | None) -> str:
    """How weights are loaded: `as it is`, or `quantised to 4bit`."""
    return f"quantised to {load}" if load else "as it is"


def with_load(spec: ModelSpec, load: str | None) -> ModelSpec:
    """The same model, loaded as asked for; None leaves it as it is.

    Raises:
        FaithfulError: `load` is none of LOADS; bitsandbytes or accelerate is not here; the weights are quantised already.
    """
    if load is None:
        return spec
    spec = replace(spec, load=check_load(load))
    if spec.load:
        require_quantising(spec.load)
        kept = getattr(load_config(spec.files, spec.hub_revision()), "quantization_config", None)
        if kept is not None:
            raise FaithfulError(f"The weights of {spec.source} are quantised already; leave --load {load} out.")
    return spec


def check_load(name: str) -> str | None:
    """How weights are loaded; None for `full`, as they are.

    Raises:
        FaithfulError: it is none of LOADS.
    """
    if name not in LOADS:
        raise FaithfulError(f"'{name}' is no way to load a model; choose full, 8bit or 4bit.")
    return None if name == "full" else name


def require_quantising(load: str) -> None:
    """Make sure that weights can be quantised here.

    Raises:
        FaithfulError: a package for it is not installed.
    """
    missing = [name for name in ("bitsandbytes", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise FaithfulError(
            f"--load {load} needs {' and '.join(missing)}; install it with `pip install 'faithful-sae[quantised]'`."
        )


def is_source(model: str, source: str) -> bool:
    """Whether a model that is asked for is the very one of a `ModelSpec.source`, by its name or by its place."""
    return model == source or Path(gguf_file(model) or model).resolve() == Path(source).resolve()


def check_unchanged(spec: ModelSpec) -> None:
    """Make sure that a model is still the one that was resolved.

    Raises:
        FaithfulError: the folder of a local one is gone, or files in it have changed since; a folder hides one of the Hub.
    """
    if not spec.is_local:
        _refuse_shadowed(spec.source)
        return
    file = spec.file
    if file is None and not Path(spec.source).is_dir():
        raise FaithfulError(f"The model folder {spec.source} is gone; put the model back, or start another corpus.")
    if (gguf_revision(file) if file else folder_revision(Path(spec.source))) != spec.revision:
        raise FaithfulError(
            f"The model in {spec.source} is not the one the corpus was made with ({spec.revision[:19]}…): its files have"
            " changed. Put the old model back, or start another corpus with --out."
        )


def _refuse_shadowed(source: str) -> None:
    """Refuse a Hub id that is a folder here too: transformers would read the folder."""
    if (folder := Path(source)).is_dir() and not folder.is_absolute():
        raise FaithfulError(
            f"{source} is a folder here, which hides the model of that name on the Hub; give ./{source} for the folder, or"
            " run in another place for the Hub's."
        )


def check_context(context: int, name: str, positions: int | None) -> None:
    """Make sure that a model reads contexts of so many tokens, BOS included.

    Args:
        context: the tokens.
        name, positions: of the model, see `ModelSpec`.

    Raises:
        FaithfulError: it does not, or nothing follows BOS.
    """
    if context < 2 or (positions and context > positions):
        raise FaithfulError(f"A context of {context} tokens does not fit {name}: use 2 to {positions or 'any number'}.")


def check_dtype(name: str) -> str:
    """The name itself.

    Raises:
        FaithfulError: it is none of DTYPES.
    """
    if name not in DTYPES:
        raise FaithfulError(f"'{name}' is not a dtype; choose float32, bfloat16 or float16.")
    return name


def _positions(config: Any) -> int:
    """Longest context that a config states, under the names that families give it, else 0.

    Rotary embeddings that are scaled by the length of the batch (`longrope`, `dynamic`: Phi-3, some Llamas) end it where
    they switch: beyond, what a token's probabilities are depends on what else is in the batch.
    """
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    stated = next((int(value) for name in names if (value := getattr(config, name, None) or 0) > 0), 0)
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    by_layer: list[dict[str, Any]] = [value for value in rope.values() if isinstance(value, dict)]
    before = getattr(config, "original_max_position_embeddings", None) or stated
    switches = [
        int(one.get("original_max_position_embeddings") or before)
        for one in by_layer or [rope]
        if one.get("rope_type") in ("longrope", "dynamic")
    ]
    return min((length for length in (stated, *switches) if length), default=0)


def _dtype(given: str | None, preset: Preset | None, config: Any, device: str) -> str:
    if given is not None:
        return check_dtype(given)
    if device == "cpu":
        return "float32"
    if preset:
        return preset.dtype
    stated = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    name = str(stated or "float32").removeprefix("torch.")
    return name if name in DTYPES else "float32"
