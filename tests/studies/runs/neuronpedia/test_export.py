"""Upload records: what the pages show, whole, and not made twice."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.records import read_record
from faithful.store.saes import find_saes
from studies.browse.contexts import Firings
from studies.explanations.kept import EXPLANATIONS
from studies.runs.neuronpedia import export
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
from studies.runs.neuronpedia.export import Export, export_neuronpedia
from studies.runs.neuronpedia.files import SOURCE, UPLOAD, Source, Upload
from studies.runs.neuronpedia.send import publish_neuronpedia
from tests.command import lasting_bytes
from tests.studies.browse.conftest import read
from tests.studies.runs.neuronpedia.conftest import Server, paged


def bodies(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("0*.json"))]


def records(run: Path, place: int) -> Iterator[Any]:
    """What the pages have of the 70 latents of an SAE, 64 in a file."""
    for chunk in range(2):
        yield from read(run / "browse", f"{place}-{chunk}")


def test_every_latent_that_fires_is_in_one_request(written: Export, paged_run: Path) -> None:
    assert written.sets == ["my-tries-cool-res-96-s1", "my-tries-own-res-96-s0"]
    assert (written.requests, written.model, written.conditions) == (6, "tiny-gpt2", 2)
    assert written.silent > 10 and written.latents + written.silent == 140
    upload = read_record(written.folder / UPLOAD, Upload)
    assert upload["model"] == {"id": "tiny-gpt2", "layers": 2, "displayName": "tiny-gpt2"}
    for place, of in enumerate(upload["sets"]):
        found = bodies(written.folder / of["name"])
        assert of["source"] == f"1-{of['name']}" and "resid_pre.1-f96-k4" in of["description"]
        assert {(one["modelId"], one["source"]) for one in found} == {("tiny-gpt2", of["source"])}
        assert [len(one["features"]) for one in found][:2] == [20, 20]
        features = [one for body in found for one in body["features"]]
        fired = [at for at, one in enumerate(records(paged_run, place)) if one["top"]]
        assert [one["index"] for one in features] == fired
        densities = read(paged_run / "browse", str(place))["density"]
        assert [one["density"] for one in features] == [densities[at] for at in fired]
        assert all(one["activations"] for one in features), "the server takes no latent without one"
        named = read_record(written.folder / of["name"] / SOURCE, Source)
        assert [(one["first"], one["last"]) for one in named["batches"]] == [
            (one["features"][0]["index"], one["features"][-1]["index"]) for one in found
        ]
        assert named["silent"] == 70 - len(fired)
    assert written.notes == tuple(f"The pages show 70 of 96 latents of {name}." for name in written.sets)
    assert "--batch 20" in upload["command"]
    sizes = [path.stat().st_size for path in written.folder.rglob("0*.json")]
    assert written.bytes == sum(sizes)


def test_contexts_carry_their_activations_and_fifths_their_bounds(written: Export, paged_run: Path) -> None:
    text = read(paged_run / "browse", "text")
    strings = dict(zip(text["ids"], text["strings"], strict=True))
    features = bodies(written.folder / written.sets[1])[0]["features"]
    every = list(records(paged_run, 1))
    fired = [(feature, every[feature["index"]]) for feature in features]
    for feature, record in fired:
        top, *others = feature["activations"][: len(record["top"])], feature["activations"][len(record["top"]) :]
        for one, (row, middle, _) in zip(top, record["top"], strict=True):
            assert len(one["tokens"]) == len(one["values"]) <= 26
            strongest = int(np.argmax(one["values"]))
            assert one["tokens"][strongest] == strings[text["rows"][row][middle]].replace("\0", "␀")
            assert one["quantileMax"] is one["quantileMin"] is one["quantileFraction"] is None
        assert max(top[0]["values"]) == pytest.approx(record["max"], rel=1e-3)
        bounds = [(one["quantileMax"], one["quantileMin"]) for one in others[0]]
        assert bounds == sorted(bounds, reverse=True)
        assert all(low <= max(one["values"]) <= high for one, (high, low) in zip(others[0], bounds, strict=True))
        shares = {one["quantileMax"]: one["quantileFraction"] for one in others[0]}
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
        for side, name in (("topLogits", "up"), ("bottomLogits", "down")):
            assert feature[side] == [
                {"token": strings[one].replace("\0", "␀"), "value": value}
                for one, value in zip(*record[name], strict=True)
            ]


def test_written_again_nothing_changes_and_what_is_whole_is_passed_over(
    written: Export, paged_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(written.folder, tmp_path / "neuronpedia"))
    before = lasting_bytes(out)
    (out / written.sets[0] / "00001.json").unlink()
    (out / written.sets[1] / SOURCE).unlink()
    made: list[str] = []
    write = export.write_text
    monkeypatch.setattr(export, "write_text", lambda path, text: (made.append(path.parent.name), write(path, text)))
    config = ExportNeuronpediaConfig(paged_run, out, batch=20)
    assert export_neuronpedia(config).bytes == written.bytes
    after = lasting_bytes(out)
    assert "neuronpedia" in after.pop(UPLOAD).decode() and before.pop(UPLOAD), "it names the folder, which is another"
    assert after == before and set(made) == set(written.sets)
    made.clear()
    export_neuronpedia(config)
    assert made == []
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, out, saes=("own/seed-0",), batch=70, name="x"))
    assert made == ["x-own-res-96-s0"]
    assert [of["name"] for of in read_record(out / UPLOAD, Upload)["sets"]] == made


def test_nothing_is_computed(paged_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Firings, "__init__", None)
    monkeypatch.setattr("studies.common.inputs.load_model", None)
    assert export_neuronpedia(ExportNeuronpediaConfig(paged_run, tmp_path / "out")).requests == 2


def test_what_the_pages_do_not_show_is_refused(paged_run: Path, tmp_path: Path) -> None:
    for config, said in (
        (
            ExportNeuronpediaConfig(paged_run, saes=("own/seed-1",)),
            "do not show .*seed-1 as it is now; make them again",
        ),
        (
            ExportNeuronpediaConfig(paged_run, pages=tmp_path),
            "holds no pages of latents; make them with `faithful browse",
        ),
        (ExportNeuronpediaConfig(paged_run, batch=129), "--batch is from 1 to 128"),
        (ExportNeuronpediaConfig(paged_run, name="2026"), "state --name"),
        (ExportNeuronpediaConfig(paged_run, model_id="GPT2"), "state --model-id"),
        (ExportNeuronpediaConfig(tmp_path), "holds no SAEs"),
    ):
        with pytest.raises(FaithfulError, match=said):
            export_neuronpedia(config)
    assert not (paged_run / "neuronpedia").exists()


def test_a_quantised_model_needs_an_id_of_its_own(paged_run: Path, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(paged_run / "browse", pages)
    of_run = pages / "data" / "run.js"
    of_run.write_text(of_run.read_text().replace('"before":', '"load":"4bit","before":'))
    config = ExportNeuronpediaConfig(paged_run, tmp_path / "out", pages=pages)
    with pytest.raises(FaithfulError, match=r"quantised to 4bit, which is another model .* with --model-id"):
        export_neuronpedia(config)
    assert export_neuronpedia(replace(config, model_id="mine-4bit")).model == "mine-4bit"


def test_explanations_go_along_where_they_tell_more_than_chance(
    run: Path, paged_run: Path, tmp_path: Path, server: Server
) -> None:
    saes = {(one.corpus, one.seed): one for one in find_saes([run / "saes"])}
    sae, other = saes["own", 0], saes["cool", 1]
    fires = [bool(one["top"]) for one in records(paged_run, 1)]
    first, second, third = [at for at, fired in enumerate(fires) if fired][:3]
    said = tmp_path / "my-tries" / "studies" / "explanations" / EXPLANATIONS
    said.parent.mkdir(parents=True)
    table = {"latent": [first, second, third, fires.index(False)], "explanation": ["towns", "ships", "", "silent"]}
    more = {"detection": [0.9, 0.5, 0.5, 0.9], "explained": [True, False, False, True], "sha256": [sae.sha256] * 4}
    pl.DataFrame(table | more).write_parquet(said)
    config = ExportNeuronpediaConfig(paged(run, tmp_path / "my-tries"), explanation_method="oai_token-act-pair")

    def exported(**options: Any) -> tuple[Export, dict[int, Any]]:
        done = export_neuronpedia(replace(config, **options))
        (name,) = (name for name in done.sets if sae.corpus in name)
        features = [one for body in bodies(done.folder / name) for one in body["features"]]
        return done, {one["index"]: one["explanations"] for one in features if one["explanations"]}

    explanation = {"text": "towns", "methodName": "oai_token-act-pair", "modelName": None}
    done, found = exported()
    assert (done.explained, done.withheld, found) == (1, 1, {first: [explanation]}), "of those that are sent"
    sending = PublishNeuronpediaConfig(config.run, server=server.address, accept_licence=True)
    assert [(one.explained, one.withheld) for one in publish_neuronpedia(sending, dry_run=True).sets] == [
        (0, 0),
        (1, 1),
    ]
    publish_neuronpedia(sending)
    assert [one["explanations"] for one in server.features[f"1-{done.sets[1]}"]].count([explanation]) == 1
    done, found = exported(explanations="all")
    assert (done.explained, done.withheld) == (2, 0) and found.keys() == {first, second}
    assert exported(explanations="none")[1] == {}
    with pytest.raises(FaithfulError, match="--explanations some is none of explained, all and none"):
        exported(explanations="some")
    assert exported()[1].keys() == {first}, "records are those of the options"
    pl.DataFrame(table | more).with_columns(sha256=pl.lit(other.sha256)).write_parquet(said)
    assert exported()[1].keys() == {first}, "the pages are what is exported"


def test_explanations_that_the_pages_lack_are_told_of(paged_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my-tries"
    folder.mkdir()
    for name in ("saes", "corpora", "browse"):
        (folder / name).symlink_to(paged_run / name)
    said = folder / "studies" / "explanations" / EXPLANATIONS
    said.parent.mkdir(parents=True)
    said.touch()
    notes = export_neuronpedia(ExportNeuronpediaConfig(folder)).notes
    assert any("show no explanations yet; `faithful browse" in note for note in notes)


def test_terms_are_those_of_the_corpora_that_are_named(paged_run: Path, tmp_path: Path) -> None:
    def terms(*corpora: Path) -> dict[str, str]:
        export_neuronpedia(ExportNeuronpediaConfig(paged_run, tmp_path / "out", corpora=corpora))
        return {one["corpus"]: one["terms"] for one in read_record(tmp_path / "out" / UPLOAD, Upload)["conditions"]}

    known = terms()
    assert known.keys() == {"own", "cool"} and not any("no longer here" in said for said in known.values())
    assert terms(paged_run) == known
    without = terms(paged_run / "corpora" / "own")
    assert without["own"] == known["own"] and "no longer here" in without["cool"]
