"""A repository on the Hub, spoken to with patience: what is there, who may write, and delays that the server asks for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from faithful.base.errors import FaithfulError
from faithful.base.records import parse_record, read_text
from faithful.base.shapes import Count, Sha256
from faithful.hub.errors import (
    PAUSES_OF_A_CALL,
    PAUSES_OF_A_PATIENT_CALL,
    Attempts,
    UnreachableError,
    cause_of,
    hub_sentence,
    watched,
)
from faithful.hub.reachable import hub_problem

T = TypeVar("T")
RECORD = "faithful.json"
CARD = "README.md"


class ListedFile(TypedDict):
    """A file that a publication lists."""

    bytes: Count
    sha256: Sha256


class ListedCard(TypedDict, total=False):
    """What a publication keeps of a card, to tell what people changed of it."""

    metadata: dict[str, object]
    outside: str


class Publication(TypedDict, total=False):
    """What a publication says of itself."""

    format: str
    repository: str
    holds: str
    subject: Any
    parts: dict[str, Any]
    cards: dict[str, ListedCard]
    files: dict[str, ListedFile]
    revision: str


@dataclass(frozen=True)
class RemoteFile:
    """A file at a revision, `size` in bytes: `sha256` where it is large, else `blob_id` is git's hash of the content."""

    size: int
    blob_id: str
    sha256: str | None


@dataclass(frozen=True)
class Remote:
    """A repository as it is.

    Attributes:
        head: commit of main, None where the repository does not exist.
        private: whether it is.
        files: what main holds, by path.
        tags: commits by tag.
        record: what an earlier publication wrote about itself, None where there was none.
        cards: text of README.md and of the other cards that the record names, as far as they are there.
    """

    head: str | None = None
    private: bool = False
    files: dict[str, RemoteFile] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    record: Publication | None = None
    cards: dict[str, str] = field(default_factory=dict)


class Repository:
    """A repository by name, asked through huggingface_hub at the address that `HF_ENDPOINT` names.

    Args:
        name: `USER/REPO`.
        kind: `dataset` or `model`.
    """

    def __init__(self, name: str, kind: str) -> None:
        from huggingface_hub import HfApi

        self.name, self.kind = name, kind
        self.api = HfApi()

    @property
    def address(self) -> str:
        """Where people find it."""
        return f"{self.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def patiently(
        self, call: Callable[..., T], *args: Any, pauses: tuple[float, ...] = PAUSES_OF_A_CALL, **kwargs: Any
    ) -> T:
        """Call; what may pass (429, 5xx, a broken line, silence) is tried again after the server's delay or a growing pause.

        Args:
            call: what of the client's; `args` and `kwargs` go to it.
            pauses: see `Attempts`.

        Raises:
            FaithfulError: it did not pass, or it is of the lasting kind.
        """
        attempts = self.attempts(pauses, kwargs.get("revision"))
        while True:
            try:
                with watched():
                    return call(*args, **kwargs)
            except Exception as error:  # the client has a type for each status, and httpx its own
                attempts.wait(cause_of(error))

    def attempts(self, pauses: tuple[float, ...] = PAUSES_OF_A_CALL, revision: str | None = None) -> Attempts:
        """Attempts at a call to this repository."""
        return Attempts(pauses, lambda error, _: hub_sentence(error, self.name, revision))

    def check_right_to_write(self) -> None:
        """Make sure, before anything is sent, that there is a token and that it may write here.

        Raises:
            FaithfulError: no token, one that is not accepted, one for reading only, somebody else's name space.
        """
        from huggingface_hub.errors import LocalTokenNotFoundError

        try:
            who = self.patiently(self.api.whoami)
        except FaithfulError as error:
            if isinstance(error.__cause__, LocalTokenNotFoundError):
                raise FaithfulError(
                    "There is no Hub token here, so nothing was sent; run `hf auth login` or set HF_TOKEN."
                ) from None
            raise
        role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise FaithfulError(
                "The Hub token is for reading only, so nothing was sent; log in with one that may write."
            )
        owner = self.name.split("/")[0]
        may = {who["name"]: "admin"} | {org["name"]: org.get("roleInOrg") for org in who.get("orgs") or []}
        if owner not in may or may[owner] == "read":
            names = ", ".join(name for name, part in may.items() if part != "read")
            raise FaithfulError(
                f"{who['name']} may not write to {owner}, so nothing was sent; publish to one of: {names}."
            )

    def read(self, *, with_texts: bool = True) -> Remote:
        """The repository as it is now.

        Raises:
            FaithfulError: the Hub cannot be reached or does not answer well.
        """
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = self.patiently(self.api.repo_info, self.name, repo_type=self.kind)
        except FaithfulError as error:
            if isinstance(error.__cause__, RepositoryNotFoundError):
                return Remote()
            raise
        if info.sha is None:
            return Remote(private=bool(info.private))
        files = self.files(info.sha)
        if not with_texts:
            return Remote(info.sha, bool(info.private), files)
        refs = self.patiently(self.api.list_repo_refs, self.name, repo_type=self.kind)
        record = self.record(info.sha) if RECORD in files else None
        cards = {CARD, *((record or Publication()).get("cards") or ())} & files.keys()
        return Remote(
            head=info.sha,
            private=bool(info.private),
            files=files,
            tags={tag.name: tag.target_commit for tag in refs.tags},
            record=record,
            cards={path: self.text(path, info.sha) for path in sorted(cards)},
        )

    def files(self, revision: str) -> dict[str, RemoteFile]:
        """Every file at a revision, with its checksum."""

        from huggingface_hub.hf_api import RepoFile

        def listed() -> dict[str, RemoteFile]:
            entries = self.api.list_repo_tree(self.name, recursive=True, revision=revision, repo_type=self.kind)
            return {
                entry.path: RemoteFile(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
                for entry in entries
                if isinstance(entry, RepoFile)
            }

        return self.patiently(listed, pauses=PAUSES_OF_A_PATIENT_CALL)

    def fetch(self, path: str, revision: str, folder: Path | None = None) -> Path:
        """A file at a revision: in the client's cache, or below a folder."""
        from huggingface_hub import hf_hub_download

        return Path(
            self.patiently(hf_hub_download, self.name, path, repo_type=self.kind, revision=revision, local_dir=folder)
        )

    def find(self, path: str, revision: str | None) -> Path | None:
        """A file in the client's cache, fetched where it is not there; None where the repository has none of the name.

        Raises:
            UnreachableError: it is not there, and there is no way to the Hub.
            FaithfulError: the Hub does not give it.
        """
        return self.patiently(self._found, path, revision=revision)

    def _found(self, path: str, revision: str | None) -> Path | None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.name, path, repo_type=self.kind, revision=revision))
        except LocalEntryNotFoundError as error:
            if reason := hub_problem():
                raise UnreachableError(
                    f"{path} of {self.name} is not in the local cache and the Hub cannot be reached ({reason}); connect."
                ) from error
            raise
        except EntryNotFoundError:
            return None

    def text(self, path: str, revision: str) -> str:
        """Content of a small file."""
        return read_text(self.fetch(path, revision))

    def record(self, revision: str) -> Publication | None:
        """What a publication wrote about itself, None where the file is something else."""
        return _parsed(self.text(RECORD, revision), f"{RECORD} of {self.name}")


def _parsed(text: str | None, where: str) -> Publication | None:
    """The record of a publication, None where the file is none or somebody else's.

    Raises:
        FaithfulError: it is a publication's and damaged.
    """
    try:
        found = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not str(found.get("format", "")).startswith("faithful publication"):
        return None
    return parse_record(str(text), Publication, where, "publish it under another name, or ask its author to do so")
