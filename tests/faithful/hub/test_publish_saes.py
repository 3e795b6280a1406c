"""Grids of SAEs and whole runs on a local Hub, and the way back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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
from tests.faithful.hub.things import REQUESTS, external_corpus, grid, own_corpus, unfilled, whole_run

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
        assert "faithful train --corpus " in card and " --model Llama-3.2-1B --seeds" in card
        assert "--seeds 0,42 --layer 2 --d-sae 32 --k 4" in card.replace(" \\\n ", "")

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

    def test_half_an_sae_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        (saes / PLACE / "cfg.json").unlink()
        with pytest.raises(
            FaithfulError, match=rf"is not finished: {PLACE} has no cfg\.json; run the command that trains"
        ):
            publish_saes(PublishConfig(saes, NAME))
        (saes / "own/resid_pre.2-f32-k4/seed-0/sae_weights.safetensors").unlink()
        with pytest.raises(FaithfulError, match=r"holds no sae_weights\.safetensors"):
            publish_saes(PublishConfig(saes, NAME))
        with pytest.raises(FaithfulError, match="holds no SAEs"):
            publish_saes(PublishConfig(tmp_path / "nothing", NAME))

    def test_a_half_trained_grid_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        checkpoint = saes / "own" / ".checkpoints" / "1.pt"
        checkpoint.parent.mkdir()
        shape = "resid_pre.2-f32-k4"
        held = {"cells": {"a": f"{shape}/seed-0", "b": f"{shape}/seed-7"}, "step": 3, "diverged": {}}
        torch.save(held, checkpoint)
        for dry_run in (True, False):
            with pytest.raises(
                FaithfulError, match=r"not finished: 1 half-trained SAEs in own/\.checkpoints/1\.pt; run the"
            ):
                publish_saes(PublishConfig(saes, NAME), dry_run=dry_run)
        assert not hub.log
        torch.save(held | {"diverged": {"b": "nan"}}, checkpoint)
        publish_saes(PublishConfig(saes, NAME))

    def test_a_corpus_whose_training_did_not_begin_is_told(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes", ("own", "web"))
        shutil.rmtree(saes / "web")
        with pytest.raises(FaithfulError, match=r"not finished: no SAE of web, which corpora\.json names"):
            publish_saes(PublishConfig(saes, NAME))
        publish_saes(PublishConfig(saes / "own", NAME))

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


RECIPE = """
model = "tiny"
[corpora.own]
[corpora.web]
add = "wikitext"
[studies.seeds]
"""
STEPS = ["corpus own", "corpus web", "train", "study seeds", "report"]


class TestRun:
    def test_a_run_whose_recipe_has_steps_to_do_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        (run / "recipe.toml").write_text(RECIPE)
        (run / "steps.json").write_text(json.dumps({name: {"seconds": 1} for name in STEPS[:2]}))
        left = r"is not finished: train, study seeds, report still to do; run `faithful run \S+/recipe\.toml --run \S+`, then"
        for dry_run in (True, False):
            with pytest.raises(FaithfulError, match=left):
                publish_run(PublishConfig(run, NAME, accept_licence=True), dry_run=dry_run)
        with pytest.raises(FaithfulError, match="the recipe's `train` is still to do"):
            publish_saes(PublishConfig(run, NAME))
        assert not hub.log
        (run / "steps.json").write_text(json.dumps({name: {"seconds": 1} for name in STEPS}))
        publish_run(PublishConfig(run, NAME, accept_licence=True))

    def test_a_half_trained_grid_of_a_run_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        shutil.rmtree(run / "saes" / "web")
        with pytest.raises(FaithfulError, match="no SAE of web"):
            publish_run(PublishConfig(run, NAME, accept_licence=True))

    @pytest.mark.parametrize(
        ("gone", "words"),
        [("", ", the same grid trained on 2 corpora"), ("web/*/seed-0", ", trained on 2 corpora")],
    )
    def test_the_card_says_whether_the_grids_are_alike(self, hub: Hub, tmp_path: Path, gone: str, words: str) -> None:
        run = whole_run(tmp_path / "run")
        for folder in (run / "saes").glob(gone) if gone else ():
            shutil.rmtree(folder)
        plans = publish_run(PublishConfig(run, NAME), dry_run=True).plans
        assert f"**tiny**{words}, and what comes out" in plans[1].card
        assert not [unfilled(plan.card) for plan in plans if unfilled(plan.card)]

    def test_edits_of_the_cards_of_its_corpora_survive(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        data = hub.repositories["dataset", NAME]
        text = data.files["own/README.md"].decode().replace("pretty_name: Faithful", "pretty_name: By hand, faithful")
        hub.edit("dataset", NAME, "own/README.md", f"{text}\nWritten on the Hub.\n".encode())
        assert not any(one.changed for one in publish_run(PublishConfig(run, NAME, accept_licence=True)).published)
        own_corpus(run / "corpora" / "own", shards=4)
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        card = data.files["own/README.md"].decode()
        assert card.count("Written on the Hub.") == 1
        assert metadata_of(card)["pretty_name"].startswith("By hand")
        assert "| documents | 160 |" in card
        found = find_published(NAME)
        assert found
        assert fetch_published(AddConfig(NAME, out=tmp_path / "back"), found).changed

    def test_the_card_of_a_corpus_that_is_gone_goes_too(self, hub: Hub, tmp_path: Path) -> None:
        run = tmp_path / "run"
        for name in ("a", "b"):
            own_corpus(run / "corpora" / name)
        publish_run(PublishConfig(run, NAME))
        shutil.rmtree(run / "corpora" / "b")
        publish_run(PublishConfig(run, NAME, yes=True))
        assert not [path for path in hub.repositories["dataset", NAME].files if path.startswith("b/")]

    def test_results_go_without_a_warning(self, hub: Hub, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
        run = whole_run(tmp_path / "run")
        (run / "studies" / "other").mkdir(parents=True)
        (run / "studies" / "other" / "summary.json").write_text("{}")
        pq.write_table(pa.table({"corpus": ["own"]}), run / "studies" / "other" / "results.parquet")
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert "studies/other/results.parquet" in hub.repositories["model", NAME].files
        assert not [str(one.message) for one in recwarn if "intended" in str(one.message)]

    def test_a_data_set_and_a_model_linked_to_each_other(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        data, model = hub.repositories["dataset", NAME], hub.repositories["model", NAME]
        assert "own/data/part-00000.parquet" in data.files
        assert not [path for path in data.files if path.startswith("web/")]
        assert {"report.html", f"{PLACE}/cfg.json", "web/resid_pre.2-f32-k4/seed-0/cfg.json"} <= set(model.files)
        cards = {kind: hub.repositories[kind, NAME].files["README.md"].decode() for kind in ("dataset", "model")}
        assert metadata_of(cards["model"])["datasets"] == [NAME, "org/web"]
        assert f"/datasets/{NAME})" in cards["model"]
        assert f"/{NAME})" in cards["dataset"]
        assert "made of other people's text: web" in cards["dataset"]
        assert metadata_of(cards["dataset"])["configs"] == [
            {
                "config_name": "own",
                "data_files": [
                    {"split": "train", "path": "own/data/*.parquet"},
                    {"split": "test", "path": "own/test/*.parquet"},
                ],
                "default": True,
            }
        ]
        for kind, card in cards.items():
            assert not yaml_errors(card, kind)
        assert f'load_dataset("{NAME}", "own")' in data.files["own/README.md"].decode()
        assert not any(done.changed for done in publish_run(PublishConfig(run, NAME, accept_licence=True)).published)

    def test_a_rerun_completes_whichever_is_missing(self, hub: Hub, tmp_path: Path, pauses: list[float]) -> None:
        run = whole_run(tmp_path / "run")
        hub.faults.append(Fault("/api/models/user/things/commit", 500, times=1000))
        with pytest.raises(FaithfulError):
            publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert len(hub.repositories["dataset", NAME].commits) == 2
        hub.faults.clear()
        changed = {
            done.kind: done.changed for done in publish_run(PublishConfig(run, NAME, accept_licence=True)).published
        }
        assert changed == {"dataset": False, "model": True}
        del hub.repositories["dataset", NAME]
        changed = {
            done.kind: done.changed for done in publish_run(PublishConfig(run, NAME, accept_licence=True)).published
        }
        assert changed == {"dataset": True, "model": False}

    def test_external_text_goes_only_when_asked_for_and_accepted(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        with pytest.raises(FaithfulError, match=r"web, licence odc-by"):
            publish_run(PublishConfig(run, NAME, include_external=True))
        assert not hub.log
        publish_run(PublishConfig(run, NAME, include_external=True, accept_licence=True))
        card = hub.repositories["dataset", NAME].files["README.md"].decode()
        assert [entry["config_name"] for entry in metadata_of(card)["configs"]] == ["own", "web"]
        assert "web/corpus.json" in hub.repositories["dataset", NAME].files


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


def test_studies_of_the_run_stand_on_its_cards(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studies.common.study import Study
    from studies.common.tables import Table

    table = Table("Distances", ("corpus", "excess ce"), [("own", "0.01"), ("web", "1.5")])
    monkeypatch.setattr(Study, "tables", lambda self, summary: [table] if summary["study"] == "corpora" else [])
    run = whole_run(tmp_path / "run")
    study = run / "studies" / "corpora"
    (study / "figures").mkdir(parents=True)
    (study / "summary.json").write_text('{"study": "corpora"}')
    (study / "figures" / "excess_ce.svg").write_text("<svg/>")
    publish_run(PublishConfig(run, NAME, accept_licence=True))
    model, data = hub.repositories["model", NAME].files, hub.repositories["dataset", NAME].files
    card = model["README.md"].decode()
    assert "| web | 1.5 |" in card
    assert "![excess ce](studies/corpora/figures/excess_ce.svg)" in card
    assert {"studies/corpora/summary.json", "studies/corpora/figures/excess_ce.svg"} <= set(model)
    own = data["own/README.md"].decode()
    assert "| own | 0.01 |" in own
    assert "| web | 1.5 |" not in own
