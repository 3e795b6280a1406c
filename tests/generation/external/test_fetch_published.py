"""`faithful corpus add USER/REPO`: what was published comes back as it is, by the command itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hub.config import PublishConfig
from faithful.hub.repository import Repository
from faithful.store.corpus import read_manifest, write_manifest
from generation.configs.add import AddConfig
from generation.external.add import add, plan_add
from studies.runs.publish import publish_corpus
from tests.faithful.hub.conftest import hub
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import external_corpus, own_corpus

__all__ = ["hub"]
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


@pytest.mark.parametrize("name", ["gpt2", "openai-community/gpt2", "GPT2", None])
def test_the_model_may_be_called_by_any_of_its_names(name: str | None, hub: Hub, tmp_path: Path) -> None:
    corpus = own_corpus(tmp_path / "corpus")
    manifest = read_manifest(corpus)
    manifest.identity["model"]["name"] = manifest.provenance["model"]["source"] = "gpt2"
    write_manifest(corpus, manifest)
    publish_corpus(PublishConfig(corpus, NAME, accept_licence=True))
    with pytest.raises(FaithfulError, match=f"^{NAME} is made for gpt2, not for tiny; leave --for out"):
        plan_add(AddConfig(NAME, out=tmp_path / "back", model="tiny"))
    assert plan_add(AddConfig(NAME, out=tmp_path / "back", model=name)).folder == tmp_path / "back"


def test_options_are_refused_as_they_are_typed(hub: Hub, tmp_path: Path) -> None:
    published(tmp_path, "own")
    wish = AddConfig(NAME, out=tmp_path / "back", columns=("text",), shard_rows=9, ids=True)
    with pytest.raises(FaithfulError, match="leave --column, --shard-rows, --ids out"):
        add(wish)


def test_what_is_no_name_on_the_hub_is_not_looked_up_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Repository, "patiently", lambda *_, **__: pytest.fail("the Hub is asked"))
    with pytest.raises(FaithfulError, match=r"^'texts/foo\.jsonl' is no name of the catalog, no file or folder here"):
        plan_add(AddConfig("texts/foo.jsonl", out=tmp_path / "new"))
    with pytest.raises(FaithfulError, match=r"^Cannot reach the Hub for 'some/set' \(offline mode is on\); connect"):
        plan_add(AddConfig("some/set", out=tmp_path / "new"))


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


class KilledError(BaseException):
    """The process is gone at this point."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but its lock."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def fetch_killed_before(move: int, wish: AddConfig, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Fetch and die before a move of a file into its place, or before the clearing up after the last; whether it came to."""
    moves = 0

    def dying(do: Callable[..., object]) -> Callable[..., object]:
        def counted(place: Path, *rest: object, **named: object) -> object:
            nonlocal moves
            if ".arriving" not in Path(place).parts or ".cache" in Path(place).parts:
                return do(place, *rest, **named)
            moves += 1
            if moves > move:
                raise KilledError
            return do(place, *rest, **named)

        return counted

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying(Path.replace))
        patched.setattr(shutil, "rmtree", dying(shutil.rmtree))
        try:
            add(wish)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("kind", ["own", "external"])
def test_killed_between_any_two_moves_it_is_finished_by_the_same_command(
    kind: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = published(tmp_path, kind, shards=2)
    add(AddConfig(NAME, out=tmp_path / "at once"))
    whole, move = files_of(tmp_path / "at once"), 0
    while fetch_killed_before(move, wish := AddConfig(NAME, out=tmp_path / f"killed {move}"), monkeypatch):
        assert (wish.out / "corpus.json").exists() == (move == len(whole)), move
        plan_add(wish)
        add(wish)
        assert files_of(wish.out) == whole, move
        assert not add(wish).changed
        move += 1
    assert move == len(whole) + 1 > 5
    assert read_manifest(wish.out) == read_manifest(corpus)


def test_killed_while_more_comes_it_is_finished_by_the_same_command(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = published(tmp_path, "own")
    add(AddConfig(NAME, out=tmp_path / "first"))
    shutil.rmtree(corpus)
    published(tmp_path, "own", shards=3)
    move = 0
    while True:
        out = Path(shutil.copytree(tmp_path / "first", tmp_path / f"killed {move}"))
        if not fetch_killed_before(move, AddConfig(NAME, out=out), monkeypatch):
            break
        add(AddConfig(NAME, out=out))
        assert read_manifest(out) == read_manifest(corpus)
        assert not (out / ".arriving").exists()
        move += 1
    assert move > 3


def test_files_of_somebody_else_are_not_taken_for_a_killed_fetch(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(tmp_path, "own", shards=2)
    wish = AddConfig(NAME, out=tmp_path / "back")
    assert fetch_killed_before(2, wish, monkeypatch)
    (tmp_path / "back" / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="is not empty and holds no corpus"):
        add(wish)
    (tmp_path / "back" / "notes.txt").unlink()
    shutil.rmtree(tmp_path / "back" / ".arriving")
    with pytest.raises(FaithfulError, match="is not empty and holds no corpus"):
        add(wish)
