"""Headers of GGUF files: what they say, and files that are none, cut off or parts."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.gguf_header import GgufHeader, read_header
from tests.gguf_files import write_gguf

Folder = Callable[[str], Path]


def test_a_header_is_what_the_file_says(family_folder: Folder, tmp_path: Path) -> None:
    fields = {"general.languages": ["en"], "general.license": "Apache-2.0", "tokenizer.ggml.eot_token_id": 3}
    header = read_header(write_gguf(family_folder("llama"), tmp_path / "Boat.gguf", stored="Q8_0", fields=fields))
    assert (header.architecture, header.type, header.licence, header.language) == ("llama", "Q8_0", "apache-2.0", "en")
    assert header.eos == {"tokenizer.ggml.eos_token_id": [2], "tokenizer.ggml.eot_token_id": [3]}
    assert GgufHeader.from_dict(asdict(header)) == header


def test_without_a_stated_type_it_is_that_of_most_weights(family_folder: Folder, tmp_path: Path) -> None:
    fields = {"general.file_type": None, "general.license": None}
    header = read_header(write_gguf(family_folder("llama"), tmp_path / "Boat.gguf", stored="Q4_1", fields=fields))
    assert (header.type, header.licence, header.language) == ("Q4_1", None, None)


@pytest.mark.parametrize(
    ("name", "name_of"),
    [
        ("Boat-1M-Q8_0.gguf", "Boat-1M Q8_0, dequantised"),
        ("boat.q8_0.gguf", "boat Q8_0, dequantised"),
        ("model.gguf", "a converter's guess Q8_0, dequantised"),
        ("ggml-model-Q8_0.gguf", "a converter's guess Q8_0, dequantised"),
    ],
)
def test_names(family_folder: Folder, tmp_path: Path, name: str, name_of: str) -> None:
    assert read_header(write_gguf(family_folder("llama"), tmp_path / name, stored="Q8_0")).called == name_of


def test_a_part_of_a_split_file_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "Boat-00001-of-00002.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(
        FaithfulError, match="one of the 2 parts of a split GGUF; join them first: `llama-gguf-split --merge"
    ):
        read_header(path)


@pytest.mark.parametrize("kept", [0, 3, 20, 400, 5000, -1])
def test_a_truncated_file_is_refused(family_folder: Folder, tmp_path: Path, kept: int) -> None:
    whole, path = write_gguf(family_folder("llama"), tmp_path / "whole.gguf"), tmp_path / "cut.gguf"
    path.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(FaithfulError, match=r"cut off or damaged|is no GGUF file"):
        read_header(path)


def test_a_header_of_what_cannot_be_is_refused(family_folder: Folder, tmp_path: Path) -> None:
    whole = write_gguf(family_folder("llama"), tmp_path / "whole.gguf").read_bytes()
    name = tmp_path / "name.gguf"
    name.write_bytes(whole.replace(b"a converter's guess", b"\xff converter's guess"))
    ids = write_gguf(family_folder("llama"), tmp_path / "ids.gguf", fields={"tokenizer.ggml.bos_token_id": "<s>"})
    for path in (name, ids):
        with pytest.raises(FaithfulError, match=r"is cut off or damaged \("):
            read_header(path)


@pytest.mark.parametrize(("factor", "scaling"), [(1.0, None), (4.0, "linear")])
def test_linear_scaling_as_the_first_files_stated_it(
    family_folder: Folder, tmp_path: Path, factor: float, scaling: str | None
) -> None:
    fields = {"llama.rope.scale_linear": factor}
    assert (
        read_header(write_gguf(family_folder("llama"), tmp_path / "Boat.gguf", fields=fields)).rope_scaling == scaling
    )
