"""Resolving and loading models: what is read, what is recorded, what is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from faithful.base.errors import FaithfulError
from faithful.models import spec as spec_module
from faithful.models.load import empty_model, load_model
from faithful.models.spec import check_unchanged, resolve_model, with_load
from faithful.models.tokenizer import load_tokenizer
from tests.families import FAMILIES, build_family, build_without_bos, copy_family, edit_weights

Folder = Callable[[str], Path]

BOS = {"gpt2": 296, "gpt_neox": 0, "llama": 1, "gemma2": 2, "mistral": 1}
EOS = {"gpt2": (296,), "gpt_neox": (0,), "llama": (2, 3, 4), "gemma2": (1,), "mistral": (2,)}
ADDS_BOS = {"gpt2": False, "gpt_neox": False, "llama": True, "gemma2": True, "mistral": True}


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file, None included."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(*args: Any, **kwargs: Any) -> str:
    """The sentence with which resolve_model refuses."""
    with pytest.raises(FaithfulError) as caught:
        resolve_model(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", ";", "?")) and len(message) < 400
    return message


def test_every_family_fits_the_brief(family: str, family_folder: Folder) -> None:
    folder = family_folder(family)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == family
    spec = resolve_model(str(folder))
    prepends = load_tokenizer(str(folder), None)("boats")["input_ids"][0] == spec.bos_id
    assert prepends == ADDS_BOS[family]


def test_bos_and_where_it_came_from(family: str, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder(family)))
    assert (spec.bos_id, spec.bos_from) == (BOS[family], "tokenizer.bos_token_id")


def test_bos_given_wins(family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("llama")), bos=7)
    assert (spec.bos_id, spec.bos_from) == (7, "--bos")
    assert resolve_model(str(family_folder("llama")), bos=0).bos_id == 0  # 0 is an id, not "nothing given"


def test_bos_falls_back_in_the_declared_order(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    edit_json(folder / "config.json", bos_token_id=9)
    found = []
    for file, key in (
        ("tokenizer_config.json", "bos_token"),
        ("config.json", "bos_token_id"),
        ("generation_config.json", "bos_token_id"),
        ("tokenizer_config.json", "eos_token"),
    ):
        edit_json(folder / file, **{key: None})
        spec = resolve_model(str(folder))
        found.append((spec.bos_id, spec.bos_from))
    assert found == [
        (9, "config.bos_token_id"),
        (1, "generation_config.bos_token_id"),
        (2, "tokenizer.eos_token_id"),
        (2, "config.eos_token_id"),
    ]


def test_end_of_text_ids_are_complete(family: str, family_folder: Folder) -> None:
    assert resolve_model(str(family_folder(family))).eos_ids == EOS[family]


def test_end_of_text_ids_unite_tokenizer_config_and_generation_config(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("mistral"), tmp_path / "copy")
    edit_json(folder / "config.json", eos_token_id=11)
    edit_json(folder / "generation_config.json", eos_token_id=[12, 13])
    assert resolve_model(str(folder)).eos_ids == (2, 11, 12, 13)


def test_generation_config_fields_are_recorded(family: str, family_folder: Folder) -> None:
    expected = {"do_sample": True, "temperature": 0.6, "top_p": 0.9} if family == "llama" else {}
    assert resolve_model(str(family_folder(family))).generation_config == expected


def test_sizes(family: str, family_folder: Folder) -> None:
    folder = family_folder(family)
    config, spec = json.loads((folder / "config.json").read_text()), resolve_model(str(folder))
    assert spec.vocab_size == config["vocab_size"]
    assert spec.positions == 128
    assert spec.family == family
    assert spec.is_local and spec.hub_revision() is None


@pytest.mark.parametrize(
    ("stated", "positions"),
    [
        ({"model_type": "mpt", "max_seq_len": 96}, 96),
        ({"model_type": "bloom", "seq_length": 96}, 96),
        ({"model_type": "bloom"}, 0),
    ],
    ids=str,
)
def test_the_longest_context_under_every_name(
    family_folder: Folder, tmp_path: Path, stated: dict[str, Any], positions: int
) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "copy")
    (folder / "config.json").write_text(json.dumps(stated | {"vocab_size": 297}))
    assert resolve_model(str(folder)).positions == positions


def test_vocabulary_is_unpadded_elsewhere(family_folder: Folder) -> None:
    for name in set(FAMILIES) - {"gpt_neox"}:
        spec = resolve_model(str(family_folder(name)))
        assert spec.mapped == spec.vocab_size


def test_revision_follows_the_contents(family_folder: Folder, tmp_path: Path) -> None:
    original = resolve_model(str(family_folder("gpt2"))).revision
    folder = build_family("gpt2", tmp_path / "again")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", original)
    assert resolve_model(str(folder)).revision == original
    assert resolve_model(str(build_family("gpt2", tmp_path / "other", seed=1))).revision != original
    (folder / "notes.md").write_text("not part of the model")
    assert resolve_model(str(folder)).revision == original
    edit_weights(folder, lambda weights: weights["transformer.wte.weight"][5, 5].add_(1e-3))
    assert resolve_model(str(folder)).revision != original


def test_revision_follows_the_generation_config(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    before = resolve_model(str(folder)).revision
    edit_json(folder / "generation_config.json", eos_token_id=[2, 3])
    assert resolve_model(str(folder)).revision != before


def test_default_dtype(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("mistral"), tmp_path / "copy")
    edit_json(folder / "config.json", dtype="bfloat16")
    assert resolve_model(str(folder), device="cpu").dtype == "float32"
    assert resolve_model(str(folder), device="cuda").dtype == "bfloat16"
    assert resolve_model(str(folder), device="cuda", dtype="float16").dtype == "float16"
    edit_json(folder / "config.json", dtype=None)
    assert resolve_model(str(folder), device="cuda").dtype == "float32"


def test_refuses_bad_dtype(family_folder: Folder) -> None:
    assert "int8" in refused(str(family_folder("gpt2")), dtype="int8")


def test_refuses_without_bos(tmp_path: Path) -> None:
    folder = build_without_bos(tmp_path / "none")
    assert "--bos" in refused(str(folder))
    spec = resolve_model(str(folder), bos=5)
    assert (spec.bos_id, spec.bos_from, spec.eos_ids) == (5, "--bos", ())


@pytest.mark.parametrize("bos", [-1, 297, 10**9])
def test_refuses_bos_outside_the_vocabulary(family_folder: Folder, bos: int) -> None:
    assert "outside" in refused(str(family_folder("gpt2")), bos=bos)


def test_refuses_unknown_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused(str(tmp_path / "nowhere"))
    assert "./nowhere" in refused("./nowhere")
    assert "config.json" in refused(str(tmp_path))


@pytest.mark.parametrize("name", ["no-such-model", "no/such", "bad name!"])
def test_refuses_what_it_cannot_reach(name: str) -> None:
    message = refused(name)
    assert name in message and "offline" in message


@pytest.mark.parametrize(
    ("name", "meant"), [("pythia-2.8", "pythia-2.8b"), ("Pythia-14", "pythia-14m"), ("gpt-2", "gpt2")]
)
def test_a_name_that_is_nearly_a_presets_brings_it_to_mind(name: str, meant: str) -> None:
    message = refused(name)
    assert meant in message.split("Did you mean")[1] and "`faithful models`" in message


def test_a_preset_that_cannot_be_reached_is_no_slip_of_the_pen() -> None:
    assert "Did you mean" not in refused("gpt2") and "Did you mean" not in refused("nobody/zzz")


def test_refuses_a_revision_of_a_folder(family_folder: Folder) -> None:
    assert "--revision" in refused(str(family_folder("gpt2")), revision="main")


def test_refuses_a_broken_generation_config(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    (folder / "generation_config.json").write_text("{")
    assert "generation_config.json" in refused(str(folder))


@pytest.mark.parametrize("damage", ["lost file", "lost tensor", "half a file"])
def test_refuses_damaged_weights(family_folder: Folder, tmp_path: Path, damage: str) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    weights = folder / "model.safetensors"
    if damage == "lost file":
        weights.unlink()
    elif damage == "lost tensor":
        edit_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    else:
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    spec = resolve_model(str(folder))
    with pytest.raises(FaithfulError, match="weights"):
        load_model(spec, "cpu")


def test_without_weights_it_is_the_same_model(family: str, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder(family)), dtype="bfloat16")
    empty, full = empty_model(spec), load_model(spec, "cpu")
    assert empty.config._attn_implementation == full.config._attn_implementation
    weights = [[(name, one.shape, one.dtype) for name, one in model.named_parameters()] for model in (empty, full)]
    assert weights[0] == weights[1] and all(one.is_meta for one in empty.parameters())


def test_a_folder_called_model_is_not_the_embedded_model(
    family_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_family(family_folder("llama"), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("model").source == str((tmp_path / "model").resolve())


@pytest.mark.parametrize("name", ["gpt2", "openai-community/gpt2", "./openai-community/gpt2"])
def test_a_folder_called_like_a_model_of_the_hub_is_never_taken_for_it(
    name: str, family_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "openai-community" / "gpt2")
    monkeypatch.chdir(tmp_path)
    if name.startswith("."):
        spec = resolve_model(name)
        assert (spec.name, spec.source, spec.preset) == ("local/gpt2", str(folder.resolve()), None)
        with pytest.raises(FaithfulError, match="is a folder here"):
            check_unchanged(replace(spec, source="openai-community/gpt2", revision="0" * 40))
    else:
        assert "give ./openai-community/gpt2 for the folder" in refused(name)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (GatedRepoError, "some/model is gated: accept its terms on the Hub and log in with `hf auth login`."),
        (HfHubHTTPError, "some/model: the Hub answers: 401 Client Error."),
    ],
)
def test_a_model_whose_files_the_hub_keeps_is_a_sentence(
    kind: type[HfHubHTTPError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub tells everybody the commit of a gated model (Llama, Gemma), and refuses the first file that is asked for."""

    def download(*args: Any, **kwargs: Any) -> str:
        response: Any = SimpleNamespace(headers={}, request=None)
        raise kind("401 Client Error.", response=response)

    monkeypatch.setattr("faithful.models.spec.hub_revision", lambda repo, revision: ("0" * 40, None))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)
    assert refused("some/model") == says


def test_how_weights_are_loaded_is_asked_before_anything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spec_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FaithfulError, match=r"^'5bit' is no way to load a model; choose full, 8bit or 4bit\.$"):
        resolve_model("tiny", load="5bit")
    with pytest.raises(
        FaithfulError, match=r"--load 4bit needs bitsandbytes and accelerate; .*faithful-sae\[quantised\]"
    ):
        resolve_model("tiny", load="4bit")
    plain = resolve_model("tiny")
    assert resolve_model("tiny", load="full") == plain and plain.precision == "float32"
    monkeypatch.setattr(spec_module.importlib.util, "find_spec", lambda name: name)
    quantised = with_load(plain, "8bit")
    assert quantised == replace(plain, load="8bit") and quantised.precision == "float32, 8bit"
    assert with_load(quantised, None) == quantised and with_load(quantised, "full") == plain
    already = SimpleNamespace(quantization_config={"quant_method": "mxfp4"})
    monkeypatch.setattr(spec_module, "load_config", lambda *_: already)
    with pytest.raises(FaithfulError, match=r"quantised already; leave --load 4bit out\."):
        with_load(plain, "4bit")
