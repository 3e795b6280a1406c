"""What a run folder holds, read without a model."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from studies.catalog import KNOWN
from studies.report.found import RunFound, read_run, training_log
from tests.studies.report.runs_made import MODEL, write_corpus, write_sae, write_study


def test_a_run_is_read_whole(run: Path) -> None:
    found = read_run(run)
    assert [corpus.name for corpus in found.corpora] == ["own", "prose"]
    assert [sae.name for sae in found.saes] == ["own seed 0", "own seed 1", "prose seed 0", "prose seed 1"]
    assert list(found.studies) == ["seeds", "extra"], "ours first"
    assert [path.name for path in found.studies["seeds"].figures] == ["a <odd> name.svg", "sfr_curves.svg"]
    assert found.studies["seeds"].settings == {} and (found.recipe, found.steps) == (None, {})
    assert found.name == "demo" and found.model == MODEL


def test_hidden_studies_are_none_and_further_folders_of_one_stand_behind_it(tmp_path: Path) -> None:
    for name, study in (
        ("again", "seeds"),
        ("seeds", "seeds"),
        (".old", "seeds"),
        ("extra", "extra"),
        ("fakes", "fakes"),
    ):
        write_study(tmp_path, name, {"study": study, "contrasts": []})
    found = read_run(tmp_path).studies
    assert list(found) == ["seeds", "again", "fakes", "extra"]
    assert found["again"].record is KNOWN["seeds"] and found["extra"].record is None


@pytest.mark.parametrize(("left", "name"), [("corpora", MODEL["name"]), ("saes", "tiny")])
def test_the_model_is_that_of_what_there_is(left: str, name: str, tmp_path: Path) -> None:
    if left == "corpora":
        write_corpus(tmp_path / "corpora" / "own", "own", ["a"], [2])
    else:
        write_sae(tmp_path / "saes" / "own" / "f8" / "seed-0", "own", 0)
    assert read_run(tmp_path).model["name"] == name
    assert RunFound(tmp_path, [], [], {}).model == {"name": "unknown"}


def test_a_corpus_without_its_data_shows_no_samples(run: Path, tmp_path: Path) -> None:
    own = read_run(run).corpora[0]
    assert len(own.samples()) == 3
    shutil.copytree(run / "corpora" / "own", tmp_path / "corpora" / "own", ignore=shutil.ignore_patterns("*.parquet"))
    assert read_run(tmp_path).corpora[0].samples() == []


def test_a_torn_line_of_a_training_log_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "saes" / "own" / "f8" / "seed-0"
    write_sae(folder, "own", 0)
    (sae,) = read_run(tmp_path).saes
    assert [point["step"] for point in training_log(sae)] == list(range(1, 700))
    (folder / "train.jsonl").write_text('{"step": 1, "fvu": 0.5}\n')
    assert training_log(sae) == [{"step": 1, "fvu": 0.5}]
    (folder / "train.jsonl").unlink()
    assert training_log(sae) == []


def test_a_log_that_is_not_the_one_recorded_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "saes" / "own" / "f8" / "seed-0"
    write_sae(folder, "own", 0)
    config = json.loads((folder / "cfg.json").read_text())
    content = (folder / "train.jsonl").read_bytes()
    config["metadata"]["faithful"]["log_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "cfg.json").write_text(json.dumps(config))
    assert training_log(read_run(tmp_path).saes[0])
    (folder / "train.jsonl").write_bytes(content + b"\n")
    with pytest.raises(FaithfulError, match="edited or damaged"):
        training_log(read_run(tmp_path).saes[0])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="There is no run"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(FaithfulError, match="holds no corpora, SAEs or studies"):
        read_run(tmp_path)


def test_a_recipe_that_lies_elsewhere_is_not_shown(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "demo")
    (copy / "recipe.toml").write_text('model = "tiny"\n')
    assert read_run(copy).recipe == 'model = "tiny"\n'
    (tmp_path / "secret").write_text("secret")
    (copy / "recipe.toml").unlink()
    (copy / "recipe.toml").symlink_to(tmp_path / "secret")
    with pytest.raises(FaithfulError, match="is a link out of"):
        read_run(copy)
