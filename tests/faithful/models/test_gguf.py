"""GGUF files: read as what they are, made into plain folders once, refused in one sentence each."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.models import gguf as made
from faithful.models.gguf import dequantised, gguf_file, plain_files
from faithful.models.load import check_weights, load_model, shape_of
from faithful.models.spec import check_unchanged, is_source, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.places import run_name
from tests.families import LAYERS, POSITIONS, TEXT, WIDTH
from tests.gguf_files import write_gguf

Folder = Callable[[str], Path]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is made of GGUF files lies, here for one test."""
    monkeypatch.setenv("FAITHFUL_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def plain(family_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(family_folder("llama"), tmp_path_factory.mktemp("gguf") / "Boat-1M.F32.gguf")


@pytest.fixture(scope="module")
def quantised(family_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(family_folder("llama"), tmp_path_factory.mktemp("gguf") / "Boat-1M.Q4_1.gguf", stored="Q4_1")


def with_fields(family_folder: Folder, path: Path, **options: Any) -> Path:
    return write_gguf(family_folder("llama"), path, **options)


def test_an_unquantised_file_is_the_model_it_was_made_of(
    plain: Path, family_model: Callable[[str], tuple[Any, Any]]
) -> None:
    original, model = family_model("llama")
    spec = resolve_model(str(plain))
    assert (spec.name, spec.dtype, spec.licence, spec.family) == ("Boat-1M F32", "float32", "apache-2.0", "llama")
    assert (spec.bos_id, spec.bos_from, spec.eos_ids) == (1, "tokenizer.ggml.bos_token_id", (2,))
    assert (spec.vocab_size, spec.mapped, spec.positions) == (original.vocab_size, original.mapped, POSITIONS)
    assert spec.tokenizer_sha256 == original.tokenizer_sha256
    ids = load_tokenizer(spec.files, None)(TEXT, add_special_tokens=False)["input_ids"]
    assert ids == load_tokenizer(original.source, None)(TEXT, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        mine, theirs = (one(torch.tensor([ids[:POSITIONS]])).logits for one in (load_model(spec, "cpu"), model))
    assert torch.equal(mine, theirs)


def test_a_quantised_file_is_named_so_and_is_near_its_model(
    quantised: Path, family_model: Callable[[str], tuple[Any, Any]]
) -> None:
    spec = resolve_model(str(quantised))
    assert spec.name == "Boat-1M Q4_1, dequantised"
    assert spec.is_local and spec.hub_revision() is None and spec.preset is None
    weights = dict(load_model(spec, "cpu").state_dict())
    errors = [
        float((weights[name] - one).norm() / one.norm()) for name, one in family_model("llama")[1].state_dict().items()
    ]
    assert 0.01 < max(errors) < 0.1
    shape = shape_of(spec)
    assert (shape.layers, shape.d_model) == (LAYERS, 2 * WIDTH)
    check_weights(spec)


def test_a_gpu_runs_it_in_its_own_type_or_in_bfloat16(plain: Path, quantised: Path) -> None:
    assert [resolve_model(str(one), device="cuda").dtype for one in (plain, quantised)] == ["float32", "bfloat16"]
    assert torch.equal(
        dict(load_model(resolve_model(str(quantised), dtype="bfloat16"), "cpu").state_dict())["lm_head.weight"],
        dict(load_model(resolve_model(str(quantised)), "cpu").state_dict())["lm_head.weight"].bfloat16(),
    )


def test_planning_and_tokenising_dequantise_nothing(quantised: Path, models: Path) -> None:
    spec = resolve_model(str(quantised))
    shape_of(spec)
    assert [path.name for path in models.glob("*/[!.]*")] == ["plain"]


def test_it_is_made_once_and_again_where_it_was_changed(quantised: Path, models: Path) -> None:
    folder = dequantised(quantised, "float32")
    weights = folder / "model.safetensors"
    before, content = weights.stat().st_mtime_ns, weights.read_bytes()
    assert dequantised(quantised, "float32") == folder and weights.stat().st_mtime_ns == before
    made._checked.clear()
    damaged = bytearray(content)
    damaged[-7] ^= 1
    weights.write_bytes(damaged)
    dequantised(quantised, "float32")
    assert weights.read_bytes() == content


def test_another_content_is_another_model(family_folder: Folder, tmp_path: Path) -> None:
    path = with_fields(family_folder, tmp_path / "Boat.gguf")
    spec = resolve_model(str(path))
    before = Path(spec.weights).parent
    with_fields(family_folder, path, stored="F16")
    with pytest.raises(FaithfulError, match="not the one the corpus was made with"):
        check_unchanged(spec)
    assert resolve_model(str(path)).revision != spec.revision
    assert dequantised(path, "float32").parent != before
    with pytest.raises(FaithfulError, match="not the one the corpus was made with"):
        _ = spec.weights
    path.unlink()
    with pytest.raises(FaithfulError, match="There is no file"):
        check_unchanged(spec)


@pytest.mark.slow
def test_two_processes_at_once_and_one_killed_leave_a_whole_model(quantised: Path, models: Path) -> None:
    """Killed once the weights' folder appears; then two at once."""
    code = "import sys; from faithful.models.spec import resolve_model; print(resolve_model(sys.argv[1]).weights)"
    command = [sys.executable, "-c", code, str(quantised)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(models.glob("*/float32/.*.tmp")) and first.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    first.kill()
    first.wait()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [one.communicate(timeout=240) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    folder = Path(told[0][0].strip())
    assert told[0][0] == told[1][0] and made._is_whole(folder)
    assert not [path for path in folder.parent.rglob("*") if path.name.endswith(".tmp")]


def test_a_folder_with_one_file_is_that_file(quantised: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    linked = tmp_path / "here" / "Boat-1M.Q4_1.gguf"
    linked.symlink_to(quantised)
    assert gguf_file(str(tmp_path / "here")) == linked
    spec = resolve_model(str(tmp_path / "here"))
    assert spec.name == "Boat-1M Q4_1, dequantised" and spec.source == str(linked)
    assert is_source(str(tmp_path / "here"), spec.source) and is_source(str(quantised), spec.source)
    (tmp_path / "here" / "other.gguf").symlink_to(quantised)
    with pytest.raises(FaithfulError, match=r"holds 2 GGUF files \(Boat-1M.Q4_1.gguf, other.gguf\); name one"):
        resolve_model(str(tmp_path / "here"))


def test_the_ending_may_be_written_in_capitals(plain: Path, tmp_path: Path) -> None:
    loud = tmp_path / "Boat-1M.F32.GGUF"
    loud.symlink_to(plain)
    spec = resolve_model(str(loud))
    assert spec.file == loud and (Path(spec.files) / "config.json").is_file()
    assert run_name(str(loud)) == "Boat-1M.F32"


@pytest.mark.parametrize(
    ("fields", "bos", "place", "ends"),
    [
        ({"tokenizer.ggml.add_bos_token": False}, 1, "tokenizer.ggml.bos_token_id (add_bos_token false)", (2,)),
        ({"tokenizer.ggml.bos_token_id": None}, 2, "tokenizer.ggml.eos_token_id", (2,)),
        (
            {"tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.eot_token_id": 4},
            2,
            "tokenizer.ggml.bos_token_id",
            (2, 4),
        ),
        ({"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": None}, 0, "tokenizer.ggml.bos_token_id", ()),
    ],
)
def test_bos_and_ends_are_those_that_the_header_states(
    family_folder: Folder, tmp_path: Path, fields: dict[str, Any], bos: int, place: str, ends: tuple[int, ...]
) -> None:
    spec = resolve_model(str(with_fields(family_folder, tmp_path / "Boat.gguf", fields=fields)))
    assert (spec.bos_id, spec.bos_from, spec.eos_ids) == (bos, place, ends)
    config = json.loads((Path(spec.files) / "config.json").read_text(encoding="utf-8"))
    assert config["eos_token_id"] == (ends[0] if len(ends) == 1 else list(ends) or None)


def test_without_any_special_id_a_start_is_asked_for(family_folder: Folder, tmp_path: Path) -> None:
    fields = {"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.eos_token_id": None}
    path = with_fields(family_folder, tmp_path / "Boat.gguf", fields=fields)
    with pytest.raises(FaithfulError, match="names a BOS or an end-of-text token to start from; give the id"):
        resolve_model(str(path))
    assert resolve_model(str(path), bos=3).bos_from == "--bos"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "encoder": ({"fields": {"llama.attention.causal": False}}, "is an encoder"),
    "pooling": ({"fields": {"llama.pooling_type": 1}}, "is an encoder"),
    "projector": ({"fields": {"general.type": "mmproj"}}, "a projector of images or sound"),
    "clip": ({"architecture": "clip"}, "a projector of images or sound"),
    "adapter": ({"fields": {"general.type": "adapter"}}, "is a LoRA adapter"),
    "vocabulary": ({"fields": {"general.type": "vocab"}}, "holds a vocabulary and no weights"),
    "split": ({"fields": {"split.count": 3}}, "one of the 3 parts of a split GGUF; join them first"),
    "architecture": ({"architecture": "rwkv6"}, "cannot read GGUF files of the architecture 'rwkv6'"),
    "tokenizer": ({"fields": {"tokenizer.ggml.model": "rwkv"}}, "cannot build the tokenizer of"),
    "yarn": ({"fields": {"llama.rope.scaling.type": "yarn"}}, r"scales its rotary frequencies \(yarn\)"),
    "factors": (
        {"more": {"rope_freqs.weight": np.linspace(1, 3, 16, dtype=np.float32)}},
        "otherwise than Llama 3 does",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_sentence(family_folder: Folder, tmp_path: Path, models: Path, case: str) -> None:
    options, sentence = REFUSED[case]
    path = with_fields(family_folder, tmp_path / "Boat.gguf", **options)
    with pytest.raises(FaithfulError, match=sentence) as refused:
        resolve_model(str(path))
    assert str(path) in str(refused.value) or path.name in str(refused.value)
    assert not list(models.glob("*/*/made"))


def test_tensors_that_are_lacking_or_not_used_are_named(family_folder: Folder, tmp_path: Path) -> None:
    lacking = with_fields(family_folder, tmp_path / "lacking.gguf", leave_out=("1.ffn_up.weight",))
    with pytest.raises(FaithfulError, match=r"lacking.gguf lack the tensor model.layers.1.mlp.up_proj.weight"):
        load_model(resolve_model(str(lacking)), "cpu")
    more = with_fields(
        family_folder, tmp_path / "more.gguf", more={"blk.0.attn_q_norm.weight": np.ones(32, np.float32)}
    )
    with pytest.raises(
        FaithfulError, match=r"holds the tensor blk.0.attn_q_norm.weight that transformers does not use"
    ):
        load_model(resolve_model(str(more)), "cpu")


def test_a_folder_that_cannot_be_written_is_named(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FAITHFUL_MODELS", str(tmp_path / "file"))
    with pytest.raises(FaithfulError, match="name another folder in FAITHFUL_MODELS"):
        resolve_model(str(plain))


def test_text_is_split_as_the_header_says(family_folder: Folder, tmp_path: Path) -> None:
    """SmolLM's tokenizer.json takes digits apart first: blanks and line ends before one stay together."""
    pieces = {}
    for splits in ("gpt-2", "smollm", "llama-bpe"):
        path = with_fields(family_folder, tmp_path / f"{splits}.gguf", fields={"tokenizer.ggml.pre": splits})
        tokenizer = load_tokenizer(resolve_model(str(path)).files, None)
        text = "a  12\n\n3"
        split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        pieces[splits] = [text[first:end] for _, (first, end) in split]
    assert pieces == {
        "gpt-2": ["a", " ", " 12", "\n", "\n", "3"],
        "smollm": ["a", "  ", "1", "2", "\n\n", "3"],
        "llama-bpe": ["a", " ", " ", "12", "\n\n", "3"],
    }
    path = with_fields(family_folder, tmp_path / "Boat.gguf", fields={"tokenizer.ggml.pre": "falcon"})
    with pytest.raises(
        FaithfulError, match=r"Boat.gguf splits text as 'falcon' does, which transformers does not read"
    ):
        resolve_model(str(path))


def test_what_is_no_file_and_revisions_are_refused(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="There is no file"):
        resolve_model(str(tmp_path / "nowhere.gguf"))
    with pytest.raises(FaithfulError, match="is a file and has no revisions"):
        resolve_model(str(plain), revision="main")
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(FaithfulError, match="is no GGUF file"):
        resolve_model(str(tmp_path / "text.gguf"))


def test_models_lie_beside_the_runs_by_default(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAITHFUL_MODELS")
    monkeypatch.chdir(tmp_path)
    assert plain_files(plain)[0].parent.parent == Path("runs") / ".models"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".models"]
