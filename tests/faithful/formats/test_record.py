"""The config of an SAE: read in one way, and refused where it was edited."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.formats.record import RECORD, own_record, read_config, seal_config, weights_sha256

IDENTITY = {"model": "tiny", "d_sae": 8, "k": 2}


def config(**own: Any) -> dict[str, Any]:
    record = {"identity": IDENTITY, "identity_sha256": digest(IDENTITY), "weights_sha256": "a" * 64} | own
    return {"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 2, "device": "cpu", "metadata": {RECORD: record}}


def write(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "cfg.json").write_text(json.dumps(values))
    return folder / "cfg.json"


def test_what_was_sealed_is_read_and_so_is_what_sae_lens_saved_again(tmp_path: Path) -> None:
    sealed = seal_config(config())
    assert sealed["metadata"][RECORD].keys() - config()["metadata"][RECORD].keys() == {"record_sha256"}
    assert seal_config(sealed) == sealed, "sealed again it is the same"
    again = sealed | {"device": "cuda:1", "dtype": "bfloat16"}
    again["metadata"]["sae_lens_version"] = "9.9"
    for values in (sealed, again):
        found = read_config(write(tmp_path, values))
        assert weights_sha256(found) == "a" * 64 and own_record(found)["identity"] == IDENTITY


@pytest.mark.parametrize("edit", [{"d_in": 5}, {"k": 3}, {"architecture": "jumprelu"}, {"more": 1}])
def test_an_edit_is_refused_with_what_helps(tmp_path: Path, edit: dict[str, Any]) -> None:
    with pytest.raises(FaithfulError, match=r"was edited or damaged.*take `faithful` out of its metadata"):
        read_config(write(tmp_path, seal_config(config()) | edit))


def test_an_identity_that_is_not_its_hash_is_refused_without_a_seal_too(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="was edited or damaged"):
        read_config(write(tmp_path, config(identity=IDENTITY | {"k": 3})))
    with pytest.raises(FaithfulError, match="`k` is 3, trained was 2"):
        read_config(write(tmp_path, config() | {"k": 3}))


def test_saes_from_elsewhere_have_no_record_and_no_seal(tmp_path: Path) -> None:
    theirs = {"architecture": "standard", "d_in": 4, "d_sae": 8, "metadata": None}
    assert seal_config(theirs) == theirs == read_config(write(tmp_path, theirs))
    assert own_record(theirs) == {} and weights_sha256(theirs) is None
    with pytest.raises(FaithfulError, match=r"holds no cfg\.json; give the folder of one SAE"):
        read_config(tmp_path / "none" / "cfg.json")
    with pytest.raises(FaithfulError, match="`d_in`"):
        read_config(write(tmp_path, theirs | {"d_in": "four"}))
