"""Names, secrets and refusals that tests of publishing share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from generation.configs.add import AddConfig
from generation.external.fetch_published import fetch_published, find_published
from generation.writing.job import CorpusResult
from studies.runs.publish import publish_corpus
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import whole_run

NAME = "user/things"
PLACE = "own/resid_pre.2-f32-k4/seed-42"
SAE = "own/resid_pre.2-f32-k4/seed-0"
SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----"


def publish(path: Path, **stated: Any) -> Any:
    return publish_corpus(PublishConfig(path, NAME, **stated)).published[0]


def run_with_a_study(folder: Path) -> Path:
    import polars as pl

    run = whole_run(folder)
    study = run / "studies" / "seeds"
    (study / "figures").mkdir(parents=True)
    (study / "summary.json").write_text("{}")
    (study / "figures" / "a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    pl.DataFrame({"a": [1]}).write_parquet(study / "results.parquet")
    (run / "recipe.toml").write_text('name = "x"\n')
    return run


def in_place_of(path: Path, target: Path) -> None:
    """A link in place of a file, to what that file was, where that is `target` itself."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def refused(hub: Hub, call: Callable[[], object], named: Path) -> str:
    """The refusal, which names the link; nothing was sent, and no repository made."""
    for dry_run in (False, True):
        with pytest.raises(FaithfulError) as caught:
            call() if not dry_run else call(dry_run=True)  # type: ignore[call-arg]
        assert str(named) in str(caught.value)
    assert not hub.received["PUT"]
    assert not hub.repositories
    return str(caught.value)


def quote(run: Path, corpora: list[str], partner: str | None = None) -> None:
    """A study whose examples are from some corpora."""
    rows = [
        {"latent": 1, "corpus": name, "tokens": ["a"], "values": [1.0], "partner_text": partner} for name in corpora
    ]
    summary = run / "studies" / "other" / "summary.json"
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps({"study": "other", "examples": [{"title": "latents", "rows": rows}]}))


def card_of(hub: Hub, kind: str = "dataset") -> str:
    return hub.repositories[kind, NAME].files["README.md"].decode()


def write_below(folder: Path, text: str) -> None:
    readme = folder / "README.md"
    readme.write_text(f"{readme.read_text()}\n{text}\n")


def adopted(out: Path | None) -> CorpusResult:
    found = find_published(NAME)
    assert found
    return fetch_published(AddConfig(NAME, out=out), found)
