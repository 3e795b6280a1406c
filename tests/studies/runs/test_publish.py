"""A run goes to the Hub as two repositories, whole, and only what is to go."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.card_file import metadata_of
from faithful.hub.config import PublishConfig
from generation.configs.add import AddConfig
from generation.external.fetch_published import fetch_published, find_published
from studies.runs.publish import publish_run
from tests.faithful.hub.named import NAME, PLACE
from tests.faithful.hub.server import yaml_errors
from tests.faithful.hub.state import Fault, Hub
from tests.faithful.hub.things import own_corpus, whole_run


def test_edits_of_the_cards_of_its_corpora_survive(hub: Hub, tmp_path: Path) -> None:
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


def test_the_card_of_a_corpus_that_is_gone_goes_too(hub: Hub, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("a", "b"):
        own_corpus(run / "corpora" / name)
    publish_run(PublishConfig(run, NAME))
    shutil.rmtree(run / "corpora" / "b")
    publish_run(PublishConfig(run, NAME, yes=True))
    assert not [path for path in hub.repositories["dataset", NAME].files if path.startswith("b/")]


def test_a_data_set_and_a_model_linked_to_each_other(hub: Hub, tmp_path: Path) -> None:
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


def test_a_rerun_completes_whichever_is_missing(hub: Hub, tmp_path: Path, pauses: list[float]) -> None:
    run = whole_run(tmp_path / "run")
    hub.faults.append(Fault("/api/models/user/things/commit", 500, times=1000))
    with pytest.raises(FaithfulError):
        publish_run(PublishConfig(run, NAME, accept_licence=True))
    assert len(hub.repositories["dataset", NAME].commits) == 2
    hub.faults.clear()
    changed = {done.kind: done.changed for done in publish_run(PublishConfig(run, NAME, accept_licence=True)).published}
    assert changed == {"dataset": False, "model": True}
    del hub.repositories["dataset", NAME]
    changed = {done.kind: done.changed for done in publish_run(PublishConfig(run, NAME, accept_licence=True)).published}
    assert changed == {"dataset": True, "model": False}


def test_external_text_goes_only_when_asked_for_and_accepted(hub: Hub, tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run")
    with pytest.raises(FaithfulError, match=r"web, licence odc-by"):
        publish_run(PublishConfig(run, NAME, include_external=True))
    assert not hub.log
    publish_run(PublishConfig(run, NAME, include_external=True, accept_licence=True))
    card = hub.repositories["dataset", NAME].files["README.md"].decode()
    assert [entry["config_name"] for entry in metadata_of(card)["configs"]] == ["own", "web"]
    assert "web/corpus.json" in hub.repositories["dataset", NAME].files


def test_results_go_without_a_warning(hub: Hub, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    run = whole_run(tmp_path / "run")
    (run / "studies" / "other").mkdir(parents=True)
    (run / "studies" / "other" / "summary.json").write_text("{}")
    pq.write_table(pa.table({"corpus": ["own"]}), run / "studies" / "other" / "results.parquet")
    publish_run(PublishConfig(run, NAME, accept_licence=True))
    assert "studies/other/results.parquet" in hub.repositories["model", NAME].files
    assert not [str(one.message) for one in recwarn if "intended" in str(one.message)]
