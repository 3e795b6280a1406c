"""A model's files, here and on the Hub."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from faithful.base.errors import FaithfulError
from faithful.hub import repository
from faithful.models import files
from faithful.models.files import folder_revision, hub_revision, optional_file, stated_json
from tests.faithful.hub.conftest import hub, pauses
from tests.faithful.hub.state import Fault, Hub

__all__ = ["hub", "pauses"]

COMMIT = "0" * 40


def test_a_gated_model_in_the_cache_needs_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that several people share: files of the model that it lacks are ones that the model lacks."""

    def download(*args: Any, **kwargs: Any) -> str:
        response: Any = SimpleNamespace(headers={}, request=None)
        raise GatedRepoError("401 Client Error.", response=response)

    def cached(repo: str, name: str, revision: str | None = None) -> str | None:
        return str(tmp_path / name) if name == "config.json" else None

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert optional_file("some/model", "adapter_config.json", "0" * 40) is None
    assert optional_file("some/model", "config.json", "0" * 40) == tmp_path / "config.json"


@pytest.mark.parametrize("is_told", [True, False])
def test_a_line_that_breaks_after_the_commit_is_no_lack_of_a_file(
    is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache told the commit, what the cache lacks is taken for missing: there is nobody to ask."""

    def download(*args: Any, **kwargs: Any) -> str:
        raise LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.")

    info = SimpleNamespace(sha=COMMIT, card_data=None)
    answers = iter([None if is_told else "no route", *["no route"] * 9])
    monkeypatch.setattr(files, "_told", set())
    for module in (files, repository):
        monkeypatch.setattr(module, "hub_problem", lambda: next(answers))
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: f"/cache/{COMMIT}")
    assert hub_revision("some/model", None) == (COMMIT, None)
    if is_told:
        with pytest.raises(
            FaithfulError, match=r"^generation_config\.json of some/model is not in .* \(no route\); connect"
        ):
            stated_json("some/model", "generation_config.json", COMMIT)
    else:
        assert stated_json("some/model", "generation_config.json", COMMIT) == {}


def test_the_licence_comes_with_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(sha=COMMIT, card_data=SimpleNamespace(license=["mit", "apache-2.0"]))
    monkeypatch.setattr(files, "hub_problem", lambda: None)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: info)
    assert hub_revision("some/model", None) == (COMMIT, "mit + apache-2.0")


@pytest.mark.parametrize(
    ("repo", "revision", "fault", "says"),
    [
        ("user/gpt2", None, None, r"^There is no 'user/gpt2' on the Hub, or .*`faithful models` lists .* mean gpt2\?$"),
        ("some/model", "v9", None, r"^some/model has no revision 'v9'; check --revision\.$"),
        ("some/model", None, {"X-Error-Code": "GatedRepo"}, "^some/model is gated: accept its terms"),
        (
            "some/model",
            None,
            {},
            r"^Cannot reach the Hub for 'some/model' \(.*403.*\) and it is not in the local cache",
        ),
    ],
)
def test_a_commit_that_the_hub_has_not_for_us(
    repo: str, revision: str | None, fault: dict[str, str] | None, says: str, hub: Hub, pauses: list[float]
) -> None:  # fmt: skip
    hub.create("model", "some/model")
    if fault is not None:
        hub.faults.append(Fault("/api/models/", 403, headers=fault))
    with pytest.raises(FaithfulError, match=says):
        hub_revision(repo, revision)
    assert pauses == []


def test_a_commit_is_asked_for_again_after_a_fault_that_passes(hub: Hub, pauses: list[float]) -> None:
    sha = hub.create("model", "some/model").head.sha
    hub.faults.append(Fault("/api/models/", 503))
    assert hub_revision("some/model", None) == (sha, None)
    assert len(pauses) == 1


def test_a_folder_is_read_again_only_where_a_file_of_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(files, "sha256_file", lambda path: read.append(path.name) or path.read_text())
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("1")
    first = folder_revision(tmp_path)
    assert folder_revision(tmp_path) == first and read == ["config.json", "model.safetensors"]
    (tmp_path / "model.safetensors").rename(tmp_path / "old")
    (tmp_path / "model.safetensors").write_text("2")
    assert folder_revision(tmp_path) != first and read[2:] == ["model.safetensors"]
