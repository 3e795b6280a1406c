"""Which files go: none outside, none hidden."""

import os
import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from studies.runs.publish import publish_corpus, publish_run, publish_saes
from tests.faithful.hub.named import NAME, SAE, SECRET, in_place_of, refused, run_with_a_study
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import grid, own_corpus, whole_run


class TestHardCases:
    def test_a_link_to_a_link_inside_that_leads_out(self, hub: Hub, corpus: Path, secret: Path) -> None:
        (corpus / "hop").symlink_to(secret)
        in_place_of(corpus / "README.md", Path("hop"))
        refused(hub, lambda **kw: publish_corpus(PublishConfig(corpus, NAME), **kw), corpus / "README.md")

    def test_out_and_in_again(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        """It ends inside: what is sent lies in the folder, whatever way leads there."""
        (corpus / "card").write_text((corpus / "README.md").read_text())
        (tmp_path / "hop").symlink_to(corpus / "card")
        in_place_of(corpus / "README.md", tmp_path / "hop")
        assert publish_corpus(PublishConfig(corpus, NAME)).published[0].changed

    @pytest.mark.parametrize("target", ["nowhere", "README.md", "a/../../../gone"])
    def test_links_that_lead_nowhere_or_in_a_circle(self, hub: Hub, corpus: Path, target: str) -> None:
        in_place_of(corpus / "README.md", Path(target))
        refused(hub, lambda **kw: publish_corpus(PublishConfig(corpus, NAME), **kw), corpus / "README.md")

    def test_a_folder_of_shards_that_is_a_link(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        shutil.move(corpus / "data", tmp_path / "elsewhere")
        (corpus / "data").symlink_to(tmp_path / "elsewhere")
        refused(hub, lambda **kw: publish_corpus(PublishConfig(corpus, NAME), **kw), corpus / "data")

    @pytest.mark.parametrize("place", ["own", "own/resid_pre.2-f32-k4", SAE])
    def test_a_folder_of_saes_that_is_a_link_is_not_passed_over(self, hub: Hub, tmp_path: Path, place: str) -> None:
        saes = grid(tmp_path / "saes", ("own", "web"))
        shutil.move(saes / place, tmp_path / "elsewhere")
        (saes / place).symlink_to(tmp_path / "elsewhere")
        refused(hub, lambda **kw: publish_saes(PublishConfig(saes, NAME), **kw), saes / place)

    def test_a_corpus_of_a_run_that_is_a_link(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        shutil.move(run / "corpora" / "own", tmp_path / "elsewhere")
        (run / "corpora" / "own").symlink_to(tmp_path / "elsewhere")
        config = PublishConfig(run, NAME, accept_licence=True)
        refused(hub, lambda **kw: publish_run(config, **kw), run / "corpora" / "own")

    def test_the_folder_itself_may_be_a_link(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        """Whoever publishes named it."""
        (tmp_path / "latest").symlink_to(corpus)
        assert publish_corpus(PublishConfig(tmp_path / "latest", NAME)).published[0].changed

    def test_a_manifest_cannot_name_files_outside(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        shutil.move(corpus / "data" / "part-00000.parquet", tmp_path / "part-00000.parquet")
        manifest = (corpus / "corpus.json").read_text()
        (corpus / "corpus.json").write_text(manifest.replace("data/part-00000.parquet", "../part-00000.parquet"))
        with pytest.raises(FaithfulError):
            publish_corpus(PublishConfig(corpus, NAME))
        assert not hub.repositories

    def test_what_became_a_link_after_it_was_measured(
        self, hub: Hub, corpus: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from faithful.hub import send as publish_commit

        upload, shard = publish_commit._upload, corpus / "data" / "part-00000.parquet"

        def swapped(*args: object) -> None:
            found = shard.stat()
            shutil.copy2(shard, secret.with_suffix(".parquet"))
            in_place_of(shard, secret.with_suffix(".parquet"))
            os.utime(shard, ns=(found.st_atime_ns, found.st_mtime_ns))
            upload(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(publish_commit, "_upload", swapped)
        with pytest.raises(FaithfulError, match="changed while it was published"):
            publish_corpus(PublishConfig(corpus, NAME))
        assert len(hub.repositories["dataset", NAME].commits) == 1

    def test_no_pipe_in_place_of_a_file_keeps_it_waiting(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        (saes / SAE / "train.jsonl").unlink()
        os.mkfifo(saes / SAE / "train.jsonl")
        (saes / "README.md").symlink_to(saes / SAE / "train.jsonl")
        with pytest.raises(FaithfulError, match="no plain file"):
            publish_saes(PublishConfig(saes, NAME))


class TestHidden:
    def test_a_link_to_a_hidden_file_inside(self, hub: Hub, corpus: Path) -> None:
        (corpus / ".env").write_text(SECRET)
        in_place_of(corpus / "README.md", Path(".env"))
        said = refused(hub, lambda **kw: publish_corpus(PublishConfig(corpus, NAME), **kw), corpus / "README.md")
        assert "hidden" in said

    def test_hidden_files_and_folders_are_not_sent(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = run_with_a_study(tmp_path / "run")
        monkeypatch.setattr("studies.runs.bundles.refuse_unfinished_run", lambda _: None)
        monkeypatch.setattr("studies.runs.unfinished._steps_left", lambda _: [])
        monkeypatch.setattr("studies.runs.card_parts._tables", lambda *_: [])
        own_corpus(run / "corpora" / ".trash")
        shutil.copytree(run / "studies" / "seeds", run / "studies" / ".old")
        (run / "studies" / "seeds" / "figures" / ".draft.svg").write_text(SECRET)
        shutil.copytree(run / "saes" / "own", run / "saes" / ".old")
        for name in (".env", "corpora/own/.netrc", f"saes/{SAE}/.token"):
            (run / name).write_text(SECRET)
        publish_run(PublishConfig(run, NAME, accept_licence=True, include_external=True))
        for repository in hub.repositories.values():
            for path, content in repository.files.items():
                assert path == ".gitattributes" or not any(part.startswith(".") for part in path.split("/")), path
                assert SECRET.encode() not in content
