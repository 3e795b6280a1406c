"""`faithful publish neuronpedia`: upload records, sent once each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.quantities import check_stated
from faithful.base.records import read_record, write_record
from faithful.options.line import command_line
from studies.runs.neuronpedia.client import Neuronpedia
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
from studies.runs.neuronpedia.files import (
    Sent,
    Source,
    SourceSet,
    Terms,
    Upload,
    read_body,
    read_sent,
    read_source,
    read_upload,
    write_sent,
)

MODELS = "models.json"
"""Which model was made on which server."""


@dataclass(frozen=True)
class SetState:
    """A source set and how much of it was sent.

    Attributes:
        name, source: at Neuronpedia.
        latents, requests, bytes: of it.
        silent: latents that are left out, as the text has no context of them.
        before: requests that were known to be accepted before; of a dry run, by any server.
        sent: requests of this one.
        page: where to look at it; '' of a dry run.
    """

    name: str
    source: str
    latents: int
    requests: int
    bytes: int
    silent: int
    before: int
    sent: int = 0
    page: str = ""


@dataclass(frozen=True)
class Sending:
    """What was sent, or would be.

    Attributes:
        model: id of it.
        sets: one for each SAE.
        conditions: terms of the text.
    """

    model: str
    sets: list[SetState]
    conditions: list[Terms]


def publish_neuronpedia(
    config: PublishNeuronpediaConfig, report: Reporter = silent, *, dry_run: bool = False
) -> Sending:
    """Send the upload records of a run: source sets that are not there yet, then latents, a batch a request.

    Before a batch is sent this is noted, and noted again when the server has accepted it. A batch of which the second is not
    known, since the process was killed or the network failed, is looked for on the server first, by its last latent: so
    nothing is sent twice.

    Raises:
        FaithfulError: no records, damaged ones, others than those that were sent before; no client or key; terms that
            were not accepted; what the server refuses.
    """
    check_stated(config)
    folder = config.records or config.run / "neuronpedia"
    again = command_line(ExportNeuronpediaConfig(config.run, config.records))
    upload = read_upload(folder, again)
    if dry_run:
        states = [_state(folder / of["name"], of, again, None) for of in upload["sets"]]
        return Sending(upload["model"]["id"], states, upload["conditions"])
    _check_terms(config, upload)
    place = Neuronpedia(config.server)
    with folder_lock(folder):
        upload = read_upload(folder, again)
        states = [_state(folder / of["name"], of, again, place.address) for of in upload["sets"]]
        if config.new_model:
            _make_model(folder, upload, place)
        done, total = sum(one.before for one in states), sum(one.requests for one in states)
        sent = []
        for of, state in zip(upload["sets"], states, strict=True):
            work = _Set(folder / of["name"], of, upload["model"]["id"], place, again)
            for _ in work.send():
                done += 1
                report(Progress("requests", done, total, "requests"))
            page = f"{place.address}/{upload['model']['id']}/{of['source']}"
            sent.append(replace(state, sent=work.count, page=page))
    return Sending(upload["model"]["id"], sent, upload["conditions"])


def _check_terms(config: PublishNeuronpediaConfig, upload: Upload) -> None:
    if upload["conditions"] and not config.accept_licence:
        shown = " ".join(
            f"[{one['corpus']}: {one['origin']}, licence {one['licence'] or 'unknown'}] {one['terms']}"
            for one in upload["conditions"]
        )
        raise FaithfulError(
            f"Nothing was sent: the contexts are passages of text under conditions. {shown} Read them, and add"
            " --accept-licence when they are met."
        )


def _make_model(folder: Path, upload: Upload, place: Neuronpedia) -> None:
    """Make the model, once on each server."""
    path, model = folder / MODELS, upload["model"]
    made = read_record(path, dict[str, str], "delete it") if path.exists() else {}
    if made.get(place.address) != model["id"]:
        place.make_model(model["id"], model["layers"], model["displayName"])
        write_record(path, made | {place.address: model["id"]})


def _state(folder: Path, of: SourceSet, again: str, address: str | None) -> SetState:
    """A source set before anything is sent: to one server, or where none is named to any.

    Raises:
        FaithfulError: a file that was accepted, or was being sent last, is another now.
    """
    source, sent = read_source(folder, again), read_sent(folder)
    present = {one["file"]: one["sha256"] for one in source["batches"]}
    of_server = [one for server, one in sent.items() if address in (None, server)]
    known = [named for one in of_server for named in (one["accepted"] | (one["sending"] or {})).items()]
    if address and any(present.get(file) != sha256 for file, sha256 in known):
        raise FaithfulError(
            f"{address} has {of['name']} with other records, which would be sent twice; export these under another --name."
        )
    latents, size = (sum(one["latents"] for one in source["batches"]), sum(one["bytes"] for one in source["batches"]))
    before = max((len(one["accepted"]) for one in of_server), default=0)
    return SetState(of["name"], of["source"], latents, len(present), size, source["silent"], before)


class _Set:
    """A source set while it is sent to a server."""

    def __init__(self, folder: Path, of: SourceSet, model: str, place: Neuronpedia, again: str) -> None:
        self.folder, self.of, self.model, self.place, self.again = folder, of, model, place, again
        self.source: Source = read_source(folder, again)
        self.every = read_sent(folder)
        nothing: Sent = {"made": False, "accepted": {}, "sending": None}
        self.sent = self.every.setdefault(place.address, nothing)
        self.count = 0

    def send(self) -> Iterator[None]:
        """Send what the server lacks, a batch a step."""
        left = [one for one in self.source["batches"] if one["file"] not in self.sent["accepted"]]
        if left and not self.sent["made"]:
            self.place.make_set(self.model, self.of["name"], self.of["description"])
            self.sent["made"] = True
        for batch in left:
            body = read_body(self.folder, batch, self.again)
            is_there = batch["file"] in (self.sent["sending"] or {}) and self.place.has_feature(
                self.model, self.of["source"], batch["last"]
            )
            if not is_there:
                self._note({batch["file"]: batch["sha256"]})
                self.place.upload(body)
                self.count += 1
            self.sent["accepted"][batch["file"]] = batch["sha256"]
            self._note(None)
            yield

    def _note(self, sending: dict[str, str] | None) -> None:
        self.sent["sending"] = sending
        write_sent(self.folder, self.every)
