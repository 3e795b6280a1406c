"""`faithful corpus add USER/REPO`: what was published comes back as it is, by the command itself."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest
from generation.configs.add import AddConfig
from generation.external.add import add, plan_add
from studies.runs.publish import publish_corpus
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import external_corpus, own_corpus

NAME = "user/things"


def published(folder: Path, kind: str, shards: int = 1) -> Path:
    make = {"own": own_corpus, "external": external_corpus}[kind]
    corpus = make(folder / "corpus", shards)
    publish_corpus(PublishConfig(corpus, NAME, accept_licence=True))
    return corpus


@pytest.mark.parametrize("kind", ["own", "external"])
def test_it_comes_once_and_takes_what_was_added(kind: str, hub: Hub, tmp_path: Path) -> None:
    corpus = published(tmp_path, kind)
    wish = AddConfig(NAME, out=tmp_path / "back")
    assert add(wish).changed
    assert not add(wish).changed
    assert read_manifest(tmp_path / "back") == read_manifest(corpus)
    shutil.rmtree(corpus)
    published(tmp_path, kind, shards=2)
    assert add(wish).changed
    assert read_manifest(tmp_path / "back") == read_manifest(corpus)
    assert not add(wish).changed


def test_a_corpus_of_another_source_is_not_written_over(hub: Hub, tmp_path: Path) -> None:
    published(tmp_path, "own")
    other = external_corpus(tmp_path / "back")
    before = (other / "corpus.json").read_bytes()
    with pytest.raises(FaithfulError, match=f"{other} holds another corpus than {NAME}"):
        add(AddConfig(NAME, out=other))
    assert (other / "corpus.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["own", "external"])
def test_a_dry_run_says_what_would_come_and_writes_nothing(kind: str, hub: Hub, tmp_path: Path) -> None:
    corpus = read_manifest(published(tmp_path, kind))
    out = tmp_path / "back"
    stated = ["corpus", "add", NAME, "--out", str(out), "--dry-run"]
    said = CliRunner().invoke(app, [*stated, "--json"])
    assert said.exit_code == 0, said.output
    plan = json.loads(said.stdout)
    tokens = {split: corpus.tokens(split) for split in ("train", "test")}
    assert (plan["tokens"], plan["there"]) == (tokens, {"train": 0, "test": 0})
    assert plan["folder"] == str(out)
    assert not out.exists()
    table = CliRunner().invoke(app, stated)
    assert table.exit_code == 0
    assert f"{tokens['train']:,}, 0 of them there" in " ".join(table.stdout.split())
    add(AddConfig(NAME, out=out))
    assert plan_add(AddConfig(NAME, out=out)).there == tokens
