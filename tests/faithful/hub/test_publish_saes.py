"""Grids of SAEs and whole runs on a local Hub, and the way back."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.formats.files import load_sae
from faithful.hub.card_file import metadata_of
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest
from generation.configs.add import AddConfig
from generation.external.fetch_published import fetch_published, find_published
from studies.runs.publish import publish_corpus, publish_run, publish_saes
from tests.faithful.hub.server import yaml_errors
from tests.faithful.hub.state import Fault, Hub
from tests.faithful.hub.things import REQUESTS, REVISION, external_corpus, grid, own_corpus, unfilled, whole_run

NAME = "user/things"
PLACE = "own/resid_pre.2-f32-k4/seed-42"
FILES = {"cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "train.jsonl"}


class TestSaes:
    def test_a_grid_in_one_commit_and_nothing_else_of_its_folder(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        done = publish_saes(PublishConfig(saes, NAME)).published[0]
        repository = hub.repositories["model", NAME]
        places = [f"own/resid_pre.2-f32-k4/seed-{seed}/{name}" for seed in (0, 42) for name in FILES]
        assert set(repository.files) == {".gitattributes", "README.md", "faithful.json", *places}
        assert (len(repository.commits), repository.tags) == (2, {"v1": repository.head.sha})
        assert done.address.endswith(f"/{NAME}")
        assert not publish_saes(PublishConfig(saes, NAME)).published[0].changed
        there, here = load_sae(NAME, PLACE), load_sae(saes / PLACE)
        torch.testing.assert_close(there.W_dec, here.W_dec, rtol=0, atol=0)

    def test_the_card(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes", model="Llama-3.2-1B")
        card = publish_saes(PublishConfig(saes, NAME), dry_run=True).plans[0].card
        metadata = metadata_of(card)
        assert metadata["library_name"] == "saelens"
        assert not yaml_errors(card, "model")
        assert f'SAE.from_pretrained("{NAME}", "own/resid_pre.2-f32-k4/seed-0")' in card
        assert f"| `{PLACE}` | 0.2920 | 4.00 | 0.9000 | 3 |" in card
        assert 'carry a name that begins with "Llama"' in card
        assert "faithful train --corpus " in card
        assert "--seeds 0,42 --layer 2 --d-sae 32 --k 4" in card.replace(" \\\n ", "")

    @pytest.mark.parametrize(
        ("model", "revision", "named"),
        [
            ("tiny", REVISION, "tiny"),
            ("Llama-3.2-1B", "4e20de362430cd3b72f300e6b0f18e50e7166e08", "meta-llama/Llama-3.2-1B"),
            ("Llama-3.2-1B", REVISION, None),
            ("mine", REVISION, None),
        ],
        ids=["embedded", "hub", "folder of a preset's name", "folder"],
    )
    def test_the_card_trains_again_by_the_same_weights(
        self, hub: Hub, tmp_path: Path, model: str, revision: str, named: str | None
    ) -> None:
        saes = grid(tmp_path / "saes", model=model, revision=revision)
        card = publish_saes(PublishConfig(saes, NAME), dry_run=True).plans[0].card
        command = next(line for line in card.replace(" \\\n ", "").splitlines() if line.startswith("faithful train"))
        assert re.findall(r"--model (\S+)", command) == ([named] if named else [])

    def test_edits_of_people_survive(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        publish_saes(PublishConfig(saes, NAME))
        text = hub.repositories["model", NAME].files["README.md"].decode()
        edited = text.replace("library_name: saelens\n", "library_name: saelens\nlicense: mit\n") + "\nBy hand.\n"
        hub.edit("model", NAME, "README.md", edited.encode())
        shutil.rmtree(saes)
        publish_saes(PublishConfig(grid(tmp_path / "saes", seeds=(0, 7, 42)), NAME))
        card = hub.repositories["model", NAME].files["README.md"].decode()
        assert "seed-7" in card
        assert card.endswith("By hand.\n")
        assert metadata_of(card)["license"] == "mit"

    def test_cells_that_are_gone_are_deleted_only_with_a_yes(self, hub: Hub, tmp_path: Path) -> None:
        publish_saes(PublishConfig(grid(tmp_path / "saes"), NAME))
        shutil.rmtree(tmp_path / "saes" / "own" / "resid_pre.2-f32-k4" / "seed-0")
        with pytest.raises(FaithfulError, match=r"4 files of user/things would be deleted"):
            publish_saes(PublishConfig(tmp_path / "saes", NAME))
        publish_saes(PublishConfig(tmp_path / "saes", NAME, yes=True))
        assert len(hub.repositories["model", NAME].files) == 7

    def test_the_card_says_what_is_there(self, hub: Hub, tmp_path: Path) -> None:
        def card(**stated: Any) -> str:
            saes = grid(tmp_path / "saes", **stated)
            (next(saes.glob("own/*/seed-*")) / "train.jsonl").unlink()
            text = publish_saes(PublishConfig(saes, NAME), dry_run=True).plans[0].card
            shutil.rmtree(saes)
            assert not unfilled(text)
            return text

        several, alone = card(corpora=("own", "web")), card(seeds=(0,))
        assert "2 init seeds, so that what differs between corpora can be told" in several
        assert f"faithful study seeds {NAME}" in several
        assert "1 init seed." in alone
        assert "so that what differs" not in card()
        assert "study seeds" not in alone
        assert "train.jsonl" not in alone
        assert "`sparsity.safetensors` (log10" in alone

    def test_by_the_command(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        done = CliRunner().invoke(app, ["publish", "saes", str(saes), NAME])
        assert done.exit_code == 0, done.stderr
        assert f"{NAME} at v1: 10 files" in done.stderr
        assert f"Next: faithful study seeds {NAME}" in done.stderr
        told = json.loads(CliRunner().invoke(app, ["publish", "saes", str(saes), NAME, "--json"]).stdout)
        assert [one["changed"] for one in told["published"]] == [False]

    def test_a_part_of_a_grid_keeps_its_place(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        publish_saes(PublishConfig(saes / PLACE, NAME))
        assert f"{PLACE}/cfg.json" in hub.repositories["model", NAME].files


@pytest.mark.slow
@pytest.mark.parametrize("fault", [429, 503, "reset"])
@pytest.mark.parametrize("what", ["saes", "run"])
def test_passing_trouble_at_every_request(
    hub: Hub, tmp_path: Path, pauses: list[float], what: str, fault: int | str
) -> None:
    folder = grid(tmp_path / "saes") if what == "saes" else whole_run(tmp_path / "run")
    publish = publish_saes if what == "saes" else publish_run
    for where in REQUESTS:
        hub.repositories.clear()
        hub.faults.append(Fault(where, fault, headers={"Retry-After": "7"} if fault == 429 else {}))
        publish(PublishConfig(folder, NAME, accept_licence=True))
        assert not hub.faults, where
        for repository in hub.repositories.values():
            assert (len(repository.commits), repository.tags) == (2, {"v1": repository.head.sha})
        assert not any(one.changed for one in publish(PublishConfig(folder, NAME, accept_licence=True)).published)


class TestRoundTrip:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        return own_corpus(tmp_path / "own")

    def adopted(self, out: Path, **stated: str) -> tuple[bool, Path]:
        found = find_published(NAME, stated.get("config"), stated.get("revision"))
        assert found
        done = fetch_published(AddConfig(NAME, out=out, **stated), found)  # type: ignore[arg-type]
        return done.changed, done.folder

    def check_same(self, one: Path, two: Path) -> None:
        for path in (path for path in one.rglob("*") if path.suffix in (".parquet", ".json")):
            assert (two / path.relative_to(one)).read_bytes() == path.read_bytes(), path
        assert read_manifest(two).certificate == read_manifest(one).certificate
        assert {path.name for path in two.iterdir()} == {"data", "test", "corpus.json", "README.md", ".lock"}

    def test_the_same_bytes_and_certificate(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish_corpus(PublishConfig(corpus, NAME))
        assert self.adopted(tmp_path / "back") == (True, tmp_path / "back")
        self.check_same(corpus, tmp_path / "back")
        assert self.adopted(tmp_path / "back")[0] is False

    def test_growing_and_going_back(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish_corpus(PublishConfig(corpus, NAME))
        self.adopted(tmp_path / "back")
        small = Path(shutil.copytree(corpus, tmp_path / "small"))
        own_corpus(corpus, shards=4)
        publish_corpus(PublishConfig(corpus, NAME))
        assert self.adopted(tmp_path / "back")[0]
        self.check_same(corpus, tmp_path / "back")
        self.adopted(tmp_path / "first", revision="v1")
        assert read_manifest(tmp_path / "first") == read_manifest(small)

    def test_out_of_a_run(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        publish_run(PublishConfig(run, NAME, include_external=True, accept_licence=True))
        with pytest.raises(FaithfulError, match="choose one with --config: own, web"):
            find_published(NAME)
        self.adopted(tmp_path / "back", config="web")
        self.check_same(run / "corpora" / "web", tmp_path / "back")

    def test_damage_and_strangers(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish_corpus(PublishConfig(corpus, NAME))
        repository = hub.repositories["dataset", NAME]
        tree, shard = repository.head.tree, "data/part-00001.parquet"
        whole = tree[shard]
        tree[shard] = type(whole)(whole.content[:-1] + b"?", True)
        with pytest.raises(FaithfulError, match=r"part-00001\.parquet of user/things arrived damaged"):
            self.adopted(tmp_path / "back")
        assert not (tmp_path / "back" / "corpus.json").exists()
        tree[shard] = whole
        self.adopted(tmp_path / "back")
        self.check_same(corpus, tmp_path / "back")
        other = read_manifest(corpus)
        other.identity["seed"] = 8
        from faithful.store.corpus import write_manifest

        write_manifest(tmp_path / "back", other)
        with pytest.raises(FaithfulError, match="holds another corpus"):
            self.adopted(tmp_path / "back")
        found = find_published(NAME)
        assert found
        with pytest.raises(FaithfulError, match="leave --tokens out"):
            fetch_published(AddConfig(NAME, tokens=5), found)

    def test_what_is_no_publication(self, hub: Hub, tmp_path: Path) -> None:
        hub.create("dataset", "user/other")
        for name in ("user/other", "user/none", "fineweb", str(tmp_path)):
            assert find_published(name) is None


def test_a_card_of_other_peoples_text_is_filled_in(tmp_path: Path) -> None:
    assert not unfilled((external_corpus(tmp_path / "web") / "README.md").read_text())


def test_the_record_names_every_file(hub: Hub, tmp_path: Path) -> None:
    publish_saes(PublishConfig(grid(tmp_path / "saes"), NAME))
    files = hub.repositories["model", NAME].files
    record = json.loads(files["faithful.json"])
    assert set(record["files"]) == set(files) - {".gitattributes", "README.md", "faithful.json"}
    assert (record["holds"], record["revision"]) == ("saes", "v1")
