"""Upload records on disk: `upload.json`, a folder for each source set with a file for each request, and what was sent."""

import json
from pathlib import Path
from typing import Any, TypedDict

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.records import read_record, write_record
from faithful.base.shapes import Count, Name, Positive, Sha256, Text

UPLOAD, SOURCE, SENT = "upload.json", "source.json", "sent.json"


class Model(TypedDict):
    """The model as Neuronpedia is told of it."""

    id: Name
    layers: Positive
    displayName: Text


class Terms(TypedDict):
    """Terms of a corpus that the contexts quote, see `faithful.hub.plan.Condition`."""

    corpus: str
    origin: str
    licence: str | None
    terms: str


class SourceSet(TypedDict):
    """A source set, which is of one SAE: its name, that of its source (with the layer), and what it says of itself."""

    name: Name
    source: Name
    description: Text


class Upload(TypedDict):
    """`upload.json`: everything that is to be sent, and the command that wrote it."""

    command: Text
    model: Model
    sets: list[SourceSet]
    conditions: list[Terms]


class Batch(TypedDict):
    """The body of a request: its file, the first and the last of its latents, their number, bytes and hash."""

    file: Name
    first: Count
    last: Count
    latents: Positive
    bytes: Positive
    sha256: Sha256


class Source(TypedDict):
    """`source.json` of a source set, written when all its files are there; `key` hashes what they were made of, `silent`
    counts the latents that are left out, as the text has no context of them; of those that are not, `explained` those with
    an explanation, and `withheld` those whose explanation is left out."""

    key: str
    silent: Count
    explained: Count
    withheld: Count
    batches: list[Batch]


class Sent(TypedDict):
    """What a model on a server has of a source set: whether it was made by us, who then need not look what is there, the
    hash of each file that was accepted, and that of the file that was being sent last, of which it is not known whether it
    was accepted."""

    made: bool
    accepted: dict[str, str]
    sending: dict[str, str] | None


def read_upload(folder: Path, again: str) -> Upload:
    """What is to be sent.

    Args:
        folder: of the records.
        again: the command that writes them, for messages.

    Raises:
        FaithfulError: no records there, or damaged.
    """
    if not (folder / UPLOAD).is_file():
        raise FaithfulError(f"{folder} holds no upload records; write them with `{again}`.")
    return read_record(folder / UPLOAD, Upload, mend(again))


def read_source(folder: Path, again: str) -> Source:
    """The batches of a source set, see `read_upload`."""
    return read_record(folder / SOURCE, Source, mend(again))


def read_body(folder: Path, batch: Batch, again: str) -> dict[str, Any]:
    """The body of a request.

    Raises:
        FaithfulError: it cannot be read, or is not as it was written.
    """
    path = folder / batch["file"]
    if sha256_file(path) != batch["sha256"]:
        raise FaithfulError(f"{path} was edited or damaged; {mend(again)}.")
    body: dict[str, Any] = json.loads(path.read_bytes())
    return body


def read_sent(folder: Path) -> dict[str, Sent]:
    """What each model on each server has of a source set, by the model's address.

    Raises:
        FaithfulError: the record is damaged.
    """
    path = folder / SENT
    return (
        read_record(path, dict[str, Sent], "restore it: it says what Neuronpedia has already") if path.exists() else {}
    )


def write_sent(folder: Path, sent: dict[str, Sent]) -> None:
    """Note it."""
    write_record(folder / SENT, sent)


def mend(again: str) -> str:
    """What to do about a damaged file."""
    return f"write it again with `{again}`"
