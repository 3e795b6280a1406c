"""A model's files, here and on the Hub."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError

from faithful.models.files import optional_file


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
