"""`faithful publish neuronpedia`: upload records, sent once each."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.quantities import check_stated
from faithful.base.records import read_record, write_record
from faithful.options.line import command_line
from studies.runs.neuronpedia.client import EXISTS, Neuronpedia, RefusedError, address_of
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
from studies.runs.neuronpedia.files import (
    Batch,
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

NOTHING: Sent = {"made": False, "accepted": {}, "sending": None}
MOST_LAYERS = 127
MODELS = "models.json"
"""Which models were made, by their addresses: `making` before they are asked for, then `made`."""


@dataclass(frozen=True)
class SetState:
    """A source set and how much of it was sent.

    Attributes:
        name, source: at Neuronpedia.
        latents, requests, bytes: of it.
        silent: latents that are left out, as the text has no context of them.
        explained, withheld: of the others, those with an explanation, and those whose explanation is left out.
        before: requests that were known to be accepted before.
        makes: whether the source set is to be made, where it is not there.
        sent: requests of this one.
        page: where to look at it; '' of a dry run.
    """

    name: str
    source: str
    latents: int
    requests: int
    bytes: int
    silent: int
    explained: int
    withheld: int
    before: int
    makes: bool = False
    sent: int = 0
    page: str = ""


@dataclass(frozen=True)
class Sending:
    """What was sent, or would be.

    Attributes:
        model: id of it.
        sets: one for each SAE.
        conditions: terms of the text.
        makes: whether the model is to be made.
    """

    model: str
    sets: list[SetState]
    conditions: list[Terms]
    makes: bool = False


def publish_neuronpedia(
    config: PublishNeuronpediaConfig, report: Reporter = silent, *, dry_run: bool = False
) -> Sending:
    """Send the upload records of a run: source sets that are not there yet, then latents, a batch a request.

    Before a batch is sent this is noted, and noted again when the server has accepted it. A batch of which the second is not
    known, since the process was killed or the network failed, is looked for on the server first, by its last latent, and so
    is every batch of a source set that we did not make: so nothing is sent twice. A dry run asks nothing of the server.

    Raises:
        FaithfulError: no records, damaged ones, others than those that were sent before; no client or key; terms that
            were not accepted; what the server refuses.
    """
    check_stated(config)
    folder = config.records or config.run / "neuronpedia"
    upload = read_upload(folder, command_line(ExportNeuronpediaConfig(config.run, config.records)))
    if dry_run:
        return _rehearsed(config, folder, upload)
    _check_terms(config, upload)
    place = Neuronpedia(config.server)
    with folder_lock(folder):
        upload = read_upload(folder, upload["command"])
        states = [_state(folder / of["name"], of, upload, place.address) for of in upload["sets"]]
        if config.new_model:
            _make_model(folder, upload, place)
        done, total = sum(one.before for one in states), sum(one.requests for one in states)
        sent = []
        for of, state in zip(upload["sets"], states, strict=True):
            work = _Set(folder / of["name"], of, upload, place)
            for _ in work.send():
                done += 1
                report(Progress("requests", done, total, "requests"))
            page = f"{place.address}/{upload['model']['id']}/{of['source']}"
            sent.append(replace(state, sent=work.count, page=page))
    return Sending(upload["model"]["id"], sent, upload["conditions"])


def _rehearsed(config: PublishNeuronpediaConfig, folder: Path, upload: Upload) -> Sending:
    """What would be sent, of which every file is read."""
    address, states = address_of(config.server), []
    for of in upload["sets"]:
        states.append(_state(folder / of["name"], of, upload, address))
        for batch in read_source(folder / of["name"], upload["command"])["batches"]:
            read_body(folder / of["name"], batch, upload["command"])
    makes = config.new_model and _models(folder).get(_there(address, upload)) != "made"
    return Sending(upload["model"]["id"], states, upload["conditions"], makes)


def _there(address: str, upload: Upload) -> str:
    """The model's address."""
    return f"{address}/{upload['model']['id']}"


def _models(folder: Path) -> dict[str, str]:
    path = folder / MODELS
    return read_record(path, dict[str, str], "delete it") if path.exists() else {}


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
    """Make the model, once on each server; one that is there is ours where we were killed while it was being made."""
    model, made, there = upload["model"], _models(folder), _there(place.address, upload)
    before = made.get(there)
    if before == "made":
        return
    if model["layers"] > MOST_LAYERS:
        raise FaithfulError(
            f"Neuronpedia takes models of up to {MOST_LAYERS} layers; {model['id']} has {model['layers']}."
        )
    write_record(folder / MODELS, made | {there: "making"})
    try:
        place.make_model(model["id"], model["layers"], model["displayName"])
    except RefusedError as error:
        is_there = EXISTS in str(error)
        if before is None:
            write_record(folder / MODELS, made)
        if is_there and before is None:
            raise FaithfulError(
                f"{place.address} has a model {model['id']} already; if it is this one, leave --new-model out, else export"
                " with another --model-id."
            ) from None
        if not is_there:
            raise
    write_record(folder / MODELS, made | {there: "made"})


def _state(folder: Path, of: SourceSet, upload: Upload, address: str) -> SetState:
    """A source set before anything is sent to a server.

    Raises:
        FaithfulError: a file that was accepted, or was being sent last, is another now.
    """
    source, sent = read_source(folder, upload["command"]), read_sent(folder).get(_there(address, upload), NOTHING)
    present = {one["file"]: one["sha256"] for one in source["batches"]}
    known = sent["accepted"] | (sent["sending"] or {})
    if any(present.get(file) != sha256 for file, sha256 in known.items()):
        raise FaithfulError(
            f"{address} has {of['name']} with other records, which would be sent twice; export these under another --name."
        )
    latents, size = (sum(one["latents"] for one in source["batches"]), sum(one["bytes"] for one in source["batches"]))
    before, makes = len(sent["accepted"]), not sent["made"] and len(sent["accepted"]) < len(present)
    return SetState(
        of["name"], of["source"], latents, len(present), size, source["silent"], source["explained"],
        source["withheld"], before, makes,
    )  # fmt: skip


class _Set:
    """A source set while it is sent to a server."""

    def __init__(self, folder: Path, of: SourceSet, upload: Upload, place: Neuronpedia) -> None:
        self.folder, self.of, self.model, self.place = folder, of, upload["model"]["id"], place
        self.again = upload["command"]
        self.source: Source = read_source(folder, self.again)
        self.every = read_sent(folder)
        self.sent = self.every.setdefault(_there(place.address, upload), deepcopy(NOTHING))
        self.count = 0

    def send(self) -> Iterator[None]:
        """Send what the server lacks, a batch a step."""
        left = [one for one in self.source["batches"] if one["file"] not in self.sent["accepted"]]
        if left and not self.sent["made"]:
            self.sent["made"] = self.place.make_set(self.model, self.of["name"], self.of["description"])
        for batch in left:
            body = read_body(self.folder, batch, self.again)
            is_unsure = not self.sent["made"] or batch["file"] in (self.sent["sending"] or {})
            if not (is_unsure and self._is_there(batch)):
                self._note({batch["file"]: batch["sha256"]})
                try:
                    self.place.upload(body)
                except RefusedError:
                    self._note(None)
                    raise
                self.count += 1
            self.sent["accepted"][batch["file"]] = batch["sha256"]
            self._note(None)
            yield

    def _is_there(self, batch: Batch) -> bool:
        """Whether the server has a batch; one of which it has the first latent alone is of other records."""
        place = (self.model, self.of["source"])
        if self.place.has_feature(*place, batch["last"]):
            return True
        if self.place.has_feature(*place, batch["first"]):
            raise FaithfulError(
                f"{self.place.address} has latents of {self.of['name']} that were sent otherwise; export these under another"
                " --name."
            )
        return False

    def _note(self, sending: dict[str, str] | None) -> None:
        self.sent["sending"] = sending
        write_sent(self.folder, self.every)
