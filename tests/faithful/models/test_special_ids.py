"""BOS and end-of-text: what the files state, and nothing that only a class of transformers says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from tests.families import build_family, copy_family

Folder = Callable[[str], Path]
ROLES = ("bos_token", "eos_token")


def edit(path: Path, drop: tuple[str, ...] = (), **changes: Any) -> None:
    """Take keys out of a JSON file and set others."""
    stated = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: value for key, value in stated.items() if key not in drop} | changes))


@pytest.fixture
def silent(family_folder: Folder, tmp_path: Path) -> Callable[[str], Path]:
    """A family's model, none of whose files names a BOS or an end-of-text."""

    def folder(family: str) -> Path:
        copy = copy_family(family_folder(family), tmp_path / family)
        edit(copy / "config.json", drop=("bos_token_id", "eos_token_id"))
        edit(copy / "tokenizer_config.json", drop=ROLES, tokenizer_class="PreTrainedTokenizerFast")
        (copy / "generation_config.json").unlink(missing_ok=True)
        return copy

    return folder


def ids(folder: Path, **options: Any) -> tuple[int, str, tuple[int, ...]]:
    """BOS, where it was found, and the ends."""
    spec: ModelSpec = resolve_model(str(folder), **options)
    return spec.bos_id, spec.bos_from, spec.eos_ids


def test_what_a_config_class_says_is_not_taken(family: str, silent: Callable[[str], Path]) -> None:
    folder = silent(family)
    with pytest.raises(FaithfulError, match="--bos"):
        resolve_model(str(folder))
    assert ids(folder, bos=7) == (7, "--bos", ())


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        ("mistral", "GPT2Tokenizer", ()),
        ("gpt_neox", "PreTrainedTokenizerFast", ("<s>", "</s>")),
        ("gpt_neox", "GPT2Tokenizer", ("<s>", "</s>")),
    ],
)
def test_a_token_that_loading_adds_to_the_vocabulary_is_not_taken(
    silent: Callable[[str], Path], family: str, name: str, words: tuple[str, ...]
) -> None:
    """A tokenizer's class puts its own `<|endoftext|>` behind the vocabulary; a string stated in tokenizer_config.json alone
    is no better: no row of the embedding was trained for it."""
    folder = silent(family)
    edit(folder / "tokenizer_config.json", tokenizer_class=name, **dict(zip(ROLES, words, strict=False)))
    in_file = json.loads((folder / "tokenizer.json").read_text())
    known = set(in_file["model"]["vocab"]) | {token["content"] for token in in_file["added_tokens"]}
    assert load_tokenizer(str(folder), None).bos_token not in known
    with pytest.raises(FaithfulError, match="--bos"):
        resolve_model(str(folder))
    edit(folder / "config.json", bos_token_id=5, eos_token_id=6)
    assert ids(folder) == (5, "config.bos_token_id", (6,))


def test_a_class_default_counts_where_tokenizer_json_marks_it_special(silent: Callable[[str], Path]) -> None:
    """As in GPT-2 on the Hub, whose tokenizer_config.json names no token."""
    folder = silent("gpt2")
    edit(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    assert ids(folder) == (296, "tokenizer.bos_token_id", (296,))
    written = json.loads((folder / "tokenizer.json").read_text())
    written["added_tokens"][-1]["special"] = False
    (folder / "tokenizer.json").write_text(json.dumps(written))
    with pytest.raises(FaithfulError, match="--bos"):
        resolve_model(str(folder))


def test_special_tokens_map_states_them_too(silent: Callable[[str], Path]) -> None:
    folder = silent("llama")
    token = {
        "content": "<|begin_of_text|>",
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
    }
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": token, "eos_token": "<|eot_id|>"}))
    edit(folder / "tokenizer_config.json", drop=("added_tokens_decoder",))
    assert ids(folder) == (1, "tokenizer.bos_token_id", (4,))


def test_generation_config_alone_states_them_too(silent: Callable[[str], Path]) -> None:
    folder = silent("mistral")
    edit(folder / "generation_config.json", bos_token_id=5, eos_token_id=[7, 6])
    assert ids(folder) == (5, "generation_config.bos_token_id", (6, 7))


@pytest.mark.parametrize("value", ["2", True, 1.5, [2, "3"], {"id": 2}], ids=str)
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_an_id_that_is_no_whole_number_is_refused(family_folder: Folder, tmp_path: Path, file: str, value: Any) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    edit(folder / file, eos_token_id=value)
    with pytest.raises(FaithfulError):
        resolve_model(str(folder))


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma-3 for text and images: dtype and end-of-text stand at the top of its config.json alone."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    folder = build_family("gemma2", tmp_path_factory.mktemp("gemma3") / "model")
    (folder / "generation_config.json").unlink()
    vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    text = {
        "vocab_size": vocab, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 32,
        "num_key_value_heads": 1, "intermediate_size": 64, "max_position_embeddings": 128, "sliding_window": 16,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
        "patch_size": 14,
    }  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    stated = json.loads((folder / "config.json").read_text())
    stated = {key: value for key, value in stated.items() if not key.endswith("_token_id")}
    stated["text_config"] = {
        key: value for key, value in stated["text_config"].items() if key in text | {"model_type": ""}
    }
    (folder / "config.json").write_text(json.dumps(stated | {"dtype": "bfloat16", "eos_token_id": [1, 106]}))
    return folder


def test_a_wrapper_states_dtype_and_ends_at_the_top(wrapper: Path) -> None:
    spec = resolve_model(str(wrapper), device="cuda")
    assert (spec.dtype, spec.bos_id, spec.eos_ids, spec.family) == ("bfloat16", 2, (1, 106), "gemma3_text")
    assert resolve_model(str(wrapper)).dtype == "float32"
    load_model(resolve_model(str(wrapper)), "cpu")


def test_the_language_models_own_section_counts_too(wrapper: Path, tmp_path: Path) -> None:
    folder = copy_family(wrapper, tmp_path / "copy")
    edit(folder / "tokenizer_config.json", drop=ROLES)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"bos_token_id": 9, "eos_token_id": 11, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 8}))
    assert resolve_model(str(folder), device="cuda").dtype == "float16"
    assert ids(folder) == (9, "config.text_config.bos_token_id", (1, 11, 106))


@pytest.mark.parametrize("kind", ["llama4", "qwen3_5", "gemma4"])
def test_other_wrappers_likewise(wrapper: Path, tmp_path: Path, kind: str) -> None:
    folder = copy_family(wrapper, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    text = {key: value for key, value in config["text_config"].items() if key != "model_type"}
    (folder / "config.json").write_text(
        json.dumps({"model_type": kind, "dtype": "bfloat16", "eos_token_id": [1, 106], "text_config": text})
    )
    spec = resolve_model(str(folder), device="cuda")
    assert (spec.dtype, spec.bos_id, spec.eos_ids) == ("bfloat16", 2, (1, 106))
