"""Folders of this machine do not go."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest, write_manifest
from studies.runs.publish import publish_run
from tests.faithful.hub.named import NAME, adopted, card_of, publish, quote, write_below
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import external_corpus, grid, own_corpus, spec, whole_run


class TestFoldersOfThisMachine:
    def test_of_a_local_model(self, hub: Hub, tmp_path: Path) -> None:
        folder = own_corpus(tmp_path / "own", model=spec("mine", "/home/secret/models/mine", "mit"))
        publish(folder)
        files = hub.repositories["dataset", NAME].files
        assert not [path for path, content in files.items() if b"/home/secret" in content]
        assert json.loads(files["corpus.json"])["provenance"]["model"]["source"] == "./mine"
        assert "faithful generate --model ./mine" in card_of(hub)
        assert adopted(folder).changed is False
        assert adopted(tmp_path / "back").manifest.identity == read_manifest(folder).identity

    def test_of_local_files(self, hub: Hub, tmp_path: Path) -> None:
        folder = external_corpus(tmp_path / "web")
        manifest = read_manifest(folder)
        manifest.provenance["source"]["path"] = manifest.provenance["reading"]["asked"] = "/home/secret/texts"
        write_manifest(folder, manifest)
        publish(folder, accept_licence=True)
        files = hub.repositories["dataset", NAME].files
        assert not [path for path, content in files.items() if b"/home/secret" in content]

    def test_in_words_of_people_they_want_a_yes(self, hub: Hub, tmp_path: Path) -> None:
        folder = own_corpus(tmp_path / "own", model=spec("mine", "/home/secret/models/mine", "mit"))
        write_below(folder, "The model is in /home/secret/models/mine.")
        with pytest.raises(FaithfulError, match=r"README\.md would show folders of this machine.*--yes"):
            publish(folder)
        assert not hub.repositories
        publish(folder, yes=True)
        assert not publish(folder).changed

    def test_of_other_settings(self, hub: Hub, tmp_path: Path) -> None:
        folder = external_corpus(tmp_path / "web")
        manifest = read_manifest(folder)
        manifest.provenance["reading"]["resolved"] = {"data_files": ["/home/secret/a.jsonl"], "column": "/text"}
        write_manifest(folder, manifest)
        publish(folder, accept_licence=True)
        files = hub.repositories["dataset", NAME].files
        resolved = json.loads(files["corpus.json"])["provenance"]["reading"]["resolved"]
        assert resolved["data_files"] == ["./a.jsonl"]

    @pytest.mark.parametrize("name", ["report.html", "studies/other/results.parquet", "studies/other/summary.json"])
    def test_in_results_of_any_size(self, hub: Hub, tmp_path: Path, name: str) -> None:
        run = whole_run(tmp_path / "run")
        quote(run, [])
        path = run / name
        if name.endswith("parquet"):
            pq.write_table(pa.table({"corpus": ["own", str(run / "saes")], "value": [1.0, 2.0]}), path)
        else:
            filler = " " * (5 << 20) if name == "report.html" else ""
            path.write_text(json.dumps({"study": "other", "examples": [], "at": str(run / "saes")}) + filler)
        with pytest.raises(FaithfulError, match=rf"{name} would show folders of this machine"):
            publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert not hub.repositories

    def test_settings_of_studies_stay_here(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        quote(run, [])
        (run / "studies" / "other" / "settings.json").write_text(json.dumps({"saes": [str(run / "saes")]}))
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert "studies/other/summary.json" in hub.repositories["model", NAME].files
        assert "studies/other/settings.json" not in hub.repositories["model", NAME].files

    def test_in_a_recipe(self, hub: Hub, tmp_path: Path) -> None:
        run = tmp_path / "run"
        own_corpus(run / "corpora" / "own", model=spec("mine", "/home/secret/mine", "mit"))
        grid(run / "saes", model="mine")
        (run / "recipe.toml").write_text('model = "/home/secret/mine"\n[corpora.own]\n')
        (run / "steps.json").write_text(
            json.dumps({name: {"seconds": 1} for name in ("corpus own", "train", "report")})
        )
        with pytest.raises(FaithfulError, match=r"recipe\.toml would show folders of this machine"):
            publish_run(PublishConfig(run, NAME))
        assert not hub.repositories
