"""Sending: every request as the client makes it, terms first, and nothing twice whenever it is killed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.records import read_record
from studies.runs.neuronpedia import send
from studies.runs.neuronpedia.client import KEY, Neuronpedia
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
from studies.runs.neuronpedia.export import Export, export_neuronpedia
from studies.runs.neuronpedia.files import SOURCE, Source
from studies.runs.neuronpedia.send import Sending, publish_neuronpedia
from tests.command import lasting_bytes
from tests.studies.runs.neuronpedia.conftest import Server


@pytest.fixture
def records(written: Export, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written.folder, tmp_path / "neuronpedia"))


def publish(run: Path, records: Path, server: Server, **more: Any) -> Sending:
    config = PublishNeuronpediaConfig(run, records, server.address, accept_licence=True, **more)
    return publish_neuronpedia(config)


def batches(records: Path, name: str = "my-tries-cool-res-96-s1") -> list[Any]:
    return read_record(records / name / SOURCE, Source)["batches"]


def of_files(records: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(records.glob("*/0*.json"))]


def test_requests_are_the_clients_and_their_bodies_the_files(paged_run: Path, records: Path, server: Server) -> None:
    server.models.clear()
    done = publish(paged_run, records, server, new_model=True)
    sets = ["my-tries-cool-res-96-s1", "my-tries-own-res-96-s0"]
    assert {key for _, _, key, _ in server.asked} == {"the key"}
    sent = [("POST", "/api/feature/upload-batch")] * 3
    asked = [("POST", "/api/model/new")]
    for name in sets:
        asked += [("GET", f"/api/source-set/tiny-gpt2/{name}"), ("POST", "/api/source-set/new"), *sent]
    assert [(method, path) for method, path, _, _ in server.asked] == asked
    assert server.uploads == of_files(records)
    assert server.asked[0][3] == {"id": "tiny-gpt2", "layers": 2, "displayName": "tiny-gpt2", "url": None}
    made = [body for _, path, _, body in server.asked if path == "/api/source-set/new"]
    assert [(one["name"], one["modelId"], set(one)) for one in made] == [
        (name, "tiny-gpt2", {"name", "modelId", "description", "url"}) for name in sets
    ]
    assert [(one.sent, one.before, one.page) for one in done.sets] == [
        (3, 0, f"{server.address}/tiny-gpt2/1-{name}") for name in sets
    ]


def test_what_was_accepted_is_not_sent_again(paged_run: Path, records: Path, server: Server) -> None:
    server.models.clear()
    publish(paged_run, records, server, new_model=True)
    before, asked = lasting_bytes(records), len(server.asked)
    done = publish(paged_run, records, server, new_model=True)
    assert [(one.sent, one.before) for one in done.sets] == [(0, 3), (0, 3)]
    assert len(server.asked) == asked and lasting_bytes(records) == before


@pytest.mark.parametrize("fails", ["lost", 500, 429, 401])
def test_an_upload_that_failed_goes_on_and_sends_nothing_twice(
    fails: Any, paged_run: Path, records: Path, server: Server
) -> None:
    """Also where the server took a batch and its answer was lost: then it is asked for the batch's last latent."""
    said = {
        429: "rate limit.*goes on from here",
        401: f"does not know the key in {KEY}",
        "lost": "does not answer, asked for latents of 1-my-tries.*goes on from here",
    }
    server.fails = [None, fails]
    with pytest.raises(FaithfulError, match=said.get(fails, "did not take latents of 1-my-tries.*goes on from here")):
        publish(paged_run, records, server)
    taken = len(server.features["1-my-tries-cool-res-96-s1"])
    assert taken == (40 if fails == "lost" else 20)
    done = publish(paged_run, records, server)
    assert [one.before for one in done.sets] == [1, 0]
    last = batches(records)[1]["last"]
    asks = fails in ("lost", 500)
    assert asks == (
        ("GET", f"/api/feature/tiny-gpt2/1-my-tries-cool-res-96-s1/{last}") in [one[:2] for one in server.asked]
    )
    assert [one for found in server.features.values() for one in found] == [
        one for body in of_files(records) for one in body["features"]
    ]


@pytest.mark.parametrize("at", range(1, 14))
def test_killed_at_any_note_it_goes_on(
    at: int, paged_run: Path, records: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the note is written, and after it."""
    write, left = send.write_sent, [at]

    def killed(*given: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        write(*given)

    monkeypatch.setattr(send, "write_sent", killed)
    with pytest.raises(KeyboardInterrupt) if at < 13 else pytest.MonkeyPatch.context():
        publish(paged_run, records, server)
    publish(paged_run, records, server)
    every = [(source, one["index"]) for source, found in server.features.items() for one in found]
    assert len(every) == len(set(every)) == sum(len(body["features"]) for body in of_files(records))
    assert sum(path == "/api/source-set/new" for _, path, _, _ in server.asked) == 2


def test_terms_come_first_and_a_dry_run_sends_nothing(paged_run: Path, records: Path, server: Server) -> None:
    config = PublishNeuronpediaConfig(paged_run, records, server.address)
    with pytest.raises(FaithfulError, match=r"Nothing was sent: .*\[own: .*add --accept-licence when they are met"):
        publish_neuronpedia(config)
    plan = publish_neuronpedia(config, dry_run=True)
    assert [(one.latents, one.requests, one.before) for one in plan.sets] == [
        (sum(one["latents"] for one in batches(records, state.name)), 3, 0) for state in plan.sets
    ]
    assert [one.latents + one.silent for one in plan.sets] == [70, 70]
    assert {one["corpus"] for one in plan.conditions} == {"own", "cool"} and server.asked == []


def test_other_records_of_the_same_names_are_refused(paged_run: Path, records: Path, server: Server) -> None:
    publish(paged_run, records, server)
    asked = len(server.asked)
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, records, batch=64))
    with pytest.raises(FaithfulError, match=r"with other records, which would be sent twice; .* another --name"):
        publish(paged_run, records, server)
    assert len(server.asked) == asked
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, records, batch=64, name="again"))
    assert [one.sent for one in publish(paged_run, records, server).sets] == [1, 1]


def test_other_records_than_those_whose_answer_was_lost_are_refused(
    paged_run: Path, records: Path, server: Server
) -> None:
    """Their last latent is another, by which they would not be found."""
    server.fails = ["lost"]
    with pytest.raises(FaithfulError, match="does not answer"):
        publish(paged_run, records, server)
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, records, batch=64))
    with pytest.raises(FaithfulError, match="with other records, which would be sent twice"):
        publish(paged_run, records, server)
    assert len(server.uploads) == 1


def test_a_damaged_file_is_not_sent(paged_run: Path, records: Path, server: Server) -> None:
    path = records / "my-tries-cool-res-96-s1" / "00001.json"
    path.write_text(path.read_text().replace('"density":', '"density":1'))
    with pytest.raises(
        FaithfulError, match=r"00001\.json was edited or damaged; write it again with `faithful export.* --batch 20`"
    ):
        publish(paged_run, records, server)
    assert len(server.uploads) == 1
    with pytest.raises(FaithfulError, match=r"00001\.json was edited or damaged"):
        publish_neuronpedia(PublishNeuronpediaConfig(paged_run, records, server.address), dry_run=True)


def test_sent_from_another_folder_nothing_is_sent_twice(
    paged_run: Path, records: Path, written: Export, server: Server, tmp_path: Path
) -> None:
    publish(paged_run, records, server)
    other = Path(shutil.copytree(written.folder, tmp_path / "other"))
    assert [one.sent for one in publish(paged_run, other, server).sets] == [0, 0]
    assert len(server.uploads) == 6
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, tmp_path / "third", batch=128))
    server.features = {source: found[:20] for source, found in server.features.items()}
    with pytest.raises(FaithfulError, match=r"that were sent otherwise; .*another --name"):
        publish(paged_run, tmp_path / "third", server)


def test_a_set_is_made_under_each_model(paged_run: Path, records: Path, server: Server) -> None:
    publish(paged_run, records, server)
    export_neuronpedia(ExportNeuronpediaConfig(paged_run, records, batch=20, model_id="other"))
    publish(paged_run, records, server, new_model=True)
    assert {name.partition("/")[0] for name in server.sets} == {"tiny-gpt2", "other"} and len(server.sets) == 4


def test_a_model_that_is_there_is_ours_only_where_we_were_making_it(
    paged_run: Path, records: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with pytest.raises(FaithfulError, match=r"has a model tiny-gpt2 already; .*leave --new-model out"):
            publish(paged_run, records, server, new_model=True)
    server.models.clear()
    make = Neuronpedia.make_model

    def killed(*given: Any) -> None:
        make(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(Neuronpedia, "make_model", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(paged_run, records, server, new_model=True)
    monkeypatch.setattr(Neuronpedia, "make_model", make)
    plan = publish_neuronpedia(
        PublishNeuronpediaConfig(paged_run, records, server.address, new_model=True), dry_run=True
    )
    assert plan.makes and all(one.makes for one in plan.sets)
    assert [one.sent for one in publish(paged_run, records, server, new_model=True).sets] == [3, 3]


def test_a_set_that_is_there_is_not_made_again(paged_run: Path, records: Path, server: Server) -> None:
    Neuronpedia(server.address).make_set("tiny-gpt2", "my-tries-own-res-96-s0", "by hand")
    publish(paged_run, records, server)
    made = [body["name"] for _, path, _, body in server.asked if path == "/api/source-set/new"]
    assert made == ["my-tries-own-res-96-s0", "my-tries-cool-res-96-s1"]
