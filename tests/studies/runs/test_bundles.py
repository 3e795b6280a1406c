"""What belongs into the repositories of a corpus, a grid, a run."""

import json
import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from faithful.store.corpus import Corpus
from studies.runs.bundles import (
    corpus_bundle,
    corpus_files,
    grid_folder,
    open_finished,
    run_bundles,
    saes_bundle,
)
from studies.runs.publish import publish_run, publish_saes
from tests.faithful.hub.named import NAME, PLACE
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import grid, own_corpus, whole_run


@pytest.mark.parametrize("name", ["a[1]", "b:c", "d*", "{e}", "~f"])
def test_folders_that_cannot_be_configs_are_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    own_corpus(tmp_path / "run" / "corpora" / name)
    with pytest.raises(FaithfulError, match="cannot be a config of a data set; rename it"):
        publish_run(PublishConfig(tmp_path / "run", NAME))
    assert not hub.log


def test_the_folder_of_a_run_holds_its_saes(hub: Hub, tmp_path: Path) -> None:
    publish_saes(PublishConfig(whole_run(tmp_path / "run"), NAME))
    assert f"{PLACE}/cfg.json" in hub.repositories["model", NAME].files


def test_a_corpus_goes_with_manifest_and_shards_alone(tmp_path: Path) -> None:
    folder = own_corpus(tmp_path / "own")
    (folder / "data" / "part-00000.parquet.tmp").write_text("half")
    bundle = corpus_bundle(folder, NAME)
    shards = [f"data/part-0000{number}.parquet" for number in range(3)]
    assert sorted(file.path for file in bundle.files) == ["corpus.json", *shards, "test/part-00000.parquet"]
    assert bundle.kind == "dataset" and bundle.folders == ("data/", "test/")


def test_what_a_corpus_lacks_is_named(tmp_path: Path) -> None:
    folder = own_corpus(tmp_path / "own")
    shard = folder / "data" / "part-00001.parquet"
    held = shard.read_bytes()
    for damage in (lambda: shard.write_bytes(held[:-1] + b"x"), shard.unlink):
        damage()
        with pytest.raises(
            FaithfulError, match=r"part-00001\.parquet is missing or damaged; run the command that makes"
        ):
            corpus_files(Corpus(folder), "", folder)
    record = json.loads((folder / "corpus.json").read_text())
    corpus = open_finished(folder)
    corpus.manifest.requested["train"] = record["requested"]["train"] + 10**6
    from faithful.store.corpus import write_manifest

    write_manifest(folder, corpus.manifest)
    with pytest.raises(FaithfulError, match="is not finished; run the command that makes it again"):
        open_finished(folder)


def test_a_part_of_a_grid_stands_at_its_place_and_a_single_sae_has_none(tmp_path: Path) -> None:
    saes = grid(tmp_path / "run" / "saes")
    assert grid_folder(tmp_path / "run") == saes and grid_folder(saes) == saes
    shape = saes / "own" / "resid_pre.2-f32-k4"
    whole, part = saes_bundle(saes, NAME), saes_bundle(shape, NAME)
    assert [file.path for file in part.files] == [file.path for file in whole.files]
    alone = shutil.copytree(saes / PLACE, tmp_path / "elsewhere" / "sae")
    with pytest.raises(FaithfulError, match="is a single SAE outside a grid; name the folder that holds it"):
        saes_bundle(alone, NAME)


def test_a_run_leaves_out_other_peoples_text_unless_told(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run")
    found = {told: run_bundles(run, NAME, include_external=told, endpoint="").dataset for told in (False, True)}
    tops = {told: {file.path.split("/")[0] for file in bundle.files} for told, bundle in found.items() if bundle}
    assert tops == {False: {"own"}, True: {"own", "web"}}
    shutil.rmtree(run / "corpora" / "own")
    shutil.rmtree(run / "saes")
    with pytest.raises(
        FaithfulError, match="nothing to publish: no SAEs, and no corpus that may go without --include-ext"
    ):
        run_bundles(run, NAME, include_external=False, endpoint="")
