"""What a GGUF file says of itself: what model it is, how its weights are stored, its special ids, its licence."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError, one_line

PART = re.compile(r"-\d{5}-of-(\d{5})$")
SAYS_NOTHING = re.compile(r"(ggml[-_.]?)?model|[0-9a-f]{32,}|", re.IGNORECASE)
OTHER_KINDS = {
    "mmproj": "a projector of images or sound (mmproj), not a language model",
    "adapter": "a LoRA adapter: merge it into its model (llama-export-lora)",
    "imatrix": "an importance matrix for quantising, not a language model",
}
ENDS = ("eos", "eot", "eom")
PLAIN = {"F32": "float32", "F16": "float16"}


@dataclass(frozen=True)
class GgufHeader:
    """A GGUF file's header, as far as anything here asks for it.

    Attributes:
        name: what the model is called: by the file's name without its type, by the header where that says nothing.
        architecture: as llama.cpp spells it: `llama`, `qwen2`, `gemma3`.
        type: how most of its weights are stored, as its maker calls it: `Q4_1`, `Q4_K_M`, `F16`.
        bos: ids to start from by where the header states them.
        eos: ids that end a text, likewise.
        tokens: how many strings its vocabulary has.
        splits: whose way of splitting text its byte-level tokenizer has: `llama-bpe`, `smollm`; '' where none is stated.
        licence: Hub tag, None where none is stated.
        language: Hub tag, None where none or several are stated.
        rope_scaling: how rotary frequencies are scaled: `linear`, `yarn`; None where they are not.
        rope_factors: by how much each rotary frequency is divided (Llama 3.1 and later), () where none is.
    """

    name: str
    architecture: str
    type: str
    bos: dict[str, int]
    eos: dict[str, list[int]]
    tokens: int
    splits: str
    licence: str | None
    language: str | None
    rope_scaling: str | None = None
    rope_factors: tuple[float, ...] = ()

    @property
    def called(self) -> str:
        """What cards and reports say: the weights are not the published ones."""
        return (
            f"{self.name} {self.type}, dequantised" if self.type not in (*PLAIN, "BF16") else f"{self.name} {self.type}"
        )

    @property
    def dtype(self) -> str:
        """In which type it runs on a GPU where none is asked for: its own, quantised weights in bfloat16."""
        return PLAIN.get(self.type, "bfloat16")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GgufHeader":
        """From its fields as JSON has them."""
        return cls(**{**values, "rope_factors": tuple(values["rope_factors"])})


def read_header(path: Path) -> GgufHeader:
    """Read and judge a file's header.

    Raises:
        FaithfulError: no GGUF file, one cut off, a part of a split one, or one that holds no whole causal LM.
    """
    from gguf import GGUFReader

    _refuse_part(path, path.stem)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            raise FaithfulError(f"{path} is no GGUF file: it does not begin with the letters GGUF; download it again.")
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items() if len(field.data) < 2}
        bos, ends = _ids(fields, ("bos",)), _ids(fields, ENDS)
    except (OSError, ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        if isinstance(error, PermissionError):
            raise FaithfulError(f"Cannot read {path}: {error.strerror}; make it readable, then run again.") from error
        raise FaithfulError(f"{path} is cut off or damaged ({one_line(error)}); download the file again.") from error
    _refuse_other_kinds(path, fields, len(reader.tensors))
    kind = _type_of(fields, reader)
    languages = reader.fields["general.languages"].contents() if "general.languages" in reader.fields else []
    languages = languages if isinstance(languages, list) else [languages]
    licence = fields.get("general.license")
    return GgufHeader(
        name=_name_of(path, str(fields.get("general.name") or ""), kind),
        architecture=str(fields["general.architecture"]),
        type=kind,
        bos=bos,
        eos={place: [one] for place, one in ends.items()},
        tokens=len(reader.fields["tokenizer.ggml.tokens"].data) if "tokenizer.ggml.tokens" in reader.fields else 0,
        splits=str(fields.get("tokenizer.ggml.pre") or "") if fields.get("tokenizer.ggml.model") == "gpt2" else "",
        licence=licence.lower() if isinstance(licence, str) and licence else None,
        language=languages[0] if len(languages) == 1 else None,
        rope_scaling=_scaling(fields),
        rope_factors=_rope_factors(reader),
    )


def _refuse_part(path: Path, stem: str) -> None:
    found = PART.search(stem)
    if found and int(found[1]) > 1:
        raise FaithfulError(
            f"{path} is one of the {int(found[1])} parts of a split GGUF; join them first: `llama-gguf-split --merge"
            f" {path.name} WHOLE.gguf`."
        )


def _refuse_other_kinds(path: Path, fields: Mapping[str, Any], tensors: int) -> None:
    architecture = fields.get("general.architecture")
    if int(fields.get("split.count") or 1) > 1:
        raise FaithfulError(
            f"{path} is one of the {fields['split.count']} parts of a split GGUF; join them first: `llama-gguf-split"
            " --merge FIRST.gguf WHOLE.gguf`."
        )
    kind = "mmproj" if architecture == "clip" else str(fields.get("general.type") or "model")
    if kind in OTHER_KINDS:
        raise FaithfulError(f"{path} is {OTHER_KINDS[kind]}; give the GGUF file of a causal LM.")
    if kind == "vocab" or not tensors:
        raise FaithfulError(f"{path} holds a vocabulary and no weights; give the GGUF file of a whole model.")
    if not architecture:
        raise FaithfulError(f"{path} does not say what kind of model it is; download it again, or choose another.")
    reads_both_sides = fields.get(f"{architecture}.attention.causal") is False
    if reads_both_sides or f"{architecture}.pooling_type" in fields:
        raise FaithfulError(
            f"{path} is an encoder ({architecture}), which reads the text on both sides; choose a causal (decoder-only) LM."
        )


def _type_of(fields: Mapping[str, Any], reader: Any) -> str:
    """The file type its maker states, else the type that most weights are stored in."""
    from gguf import LlamaFileType

    try:
        return LlamaFileType(int(fields["general.file_type"])).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except (KeyError, TypeError, ValueError):
        counts: Counter[str] = Counter()
        for tensor in reader.tensors:
            counts[tensor.tensor_type.name] += int(tensor.n_elements)
        return counts.most_common(1)[0][0]


def _name_of(path: Path, stated: str, kind: str) -> str:
    """What people call it: names in headers are a converter's guess (`Smollm2 135M 8k Lc100K Mix1 Ep2`)."""
    name = re.sub(rf"[-._]?(?:UD-)?{re.escape(kind)}$", "", path.stem, flags=re.IGNORECASE)
    return stated if stated and SAYS_NOTHING.fullmatch(name) else name


def _ids(fields: Mapping[str, Any], roles: tuple[str, ...]) -> dict[str, int]:
    """Ids by role, each by the name of the field that states it; a BOS that is not put before texts says so."""
    found = {}
    for role in roles:
        field = f"tokenizer.ggml.{role}_token_id"
        if field in fields:
            unused = role == "bos" and fields.get("tokenizer.ggml.add_bos_token") is False
            found[field + (" (add_bos_token false)" if unused else "")] = int(fields[field])
    return found


def _scaling(fields: Mapping[str, Any]) -> str | None:
    rope = f"{fields['general.architecture']}.rope"
    stated = fields.get(f"{rope}.scaling.type")
    if stated is None and fields.get(f"{rope}.scale_linear") not in (None, 0, 1):  # of files of 2023
        return "linear"
    return str(stated) if stated not in (None, "none") else None


def _rope_factors(reader: Any) -> tuple[float, ...]:
    return next((tuple(map(float, one.data)) for one in reader.tensors if one.name == "rope_freqs.weight"), ())
