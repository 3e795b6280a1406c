"""One sentence for every difference between what is asked for and what a corpus records."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from faithful.store.corpus import Manifest, write_manifest
from generation.writing.identity import model_provenance, tokenizer_identity
from generation.writing.recorded import (
    differences,
    existing_corpus,
    model_differences,
    open_corpus,
    refuse_other_identity,
    refuse_otherwise,
)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    spec = resolve_model("tiny")
    identity = {"model": tokenizer_identity(spec), "seed": 3, "source": {"kind": "noise"}}
    return Manifest("noise", "external", identity, {"model": model_provenance(spec)}, {"train": 0, "test": 0})  # type: ignore[arg-type]


def test_what_is_not_stated_differs_from_nothing() -> None:
    recorded = {"top_k": 0, "seed": 3, "bos": 1}
    assert differences({"top_k": None, "seed": 3}, recorded) == []
    assert differences({"top_k": 5, "seed": 4, "bos": None}, recorded) == [
        "top k 5 asked for, 0 in the corpus",
        "seed 4 asked for, 3 in the corpus",
    ]


def test_a_model_is_known_by_preset_name_and_folder(manifest: Manifest) -> None:
    source = resolve_model("tiny").source
    for same in (None, "tiny", source, f"{source}/."):
        assert model_differences(same, manifest) == []
    assert model_differences("gpt2", manifest) == ["model gpt2 asked for, tiny in the corpus"]


def test_a_refusal_names_the_differences_and_what_to_do() -> None:
    refuse_otherwise(Path("own"), [])
    with pytest.raises(FaithfulError) as caught:
        refuse_otherwise(Path("own"), ["a", "b"], "Leave it")
    assert str(caught.value) == "own was made otherwise: a; b. Leave it; nothing was changed."


def test_identities_are_compared_leaf_by_leaf_and_by_kind(manifest: Manifest) -> None:
    refuse_other_identity(Path("noise"), manifest, "external", manifest.identity)
    other = manifest.identity | {"seed": 4, "window": 9}  # type: ignore[operator]
    with pytest.raises(
        FaithfulError, match=r"seed 4 asked for, 3 in the corpus; window 9 asked for, None in the corpus"
    ):
        refuse_other_identity(Path("noise"), manifest, "external", other)
    with pytest.raises(FaithfulError, match=r"otherwise: the corpus there is external\. Choose"):
        refuse_other_identity(Path("noise"), manifest, "derived", manifest.identity)


def test_a_folder_is_opened_begun_or_refused(manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    assert existing_corpus(folder) is None
    begun = open_corpus(folder, "external", manifest.identity, manifest.provenance)
    assert begun == manifest and not folder.exists()
    write_manifest(folder, manifest)
    assert existing_corpus(folder) == manifest
    assert open_corpus(folder, "external", manifest.identity, {}) == manifest
    (tmp_path / "killed").mkdir()
    for left in (".lock", ".corpus.json.0123.tmp"):
        (tmp_path / "killed" / left).touch()
    assert existing_corpus(tmp_path / "killed") is None
    (tmp_path / "killed" / "notes").touch()
    with pytest.raises(FaithfulError, match="is not empty and holds no corpus"):
        existing_corpus(tmp_path / "killed")
    with pytest.raises(FaithfulError, match="is a file"):
        existing_corpus(tmp_path / "killed" / "notes")
