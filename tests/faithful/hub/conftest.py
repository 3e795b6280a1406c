"""The real client in this process, pointed at a server on this machine."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faithful.hub.named import SECRET
from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import own_corpus


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub with a user; the client finds it, its token and an empty cache, and nothing else of this machine."""
    from huggingface_hub import constants

    state = Hub()
    with serving(state) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", "token")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield state


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client and we would have slept, in order; nobody sleeps."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An own corpus, made once for a file."""
    return own_corpus(tmp_path_factory.mktemp("corpora") / "own")


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to publish and to change."""
    return Path(shutil.copytree(made, tmp_path / "own"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "home" / ".ssh" / "id_ed25519"
    path.parent.mkdir(parents=True)
    path.write_text(SECRET)
    return path
