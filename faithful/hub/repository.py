"""A repository on the Hub, spoken to with patience: what is there, who may write, and delays that the server asks for."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from faithful.base.errors import FaithfulError
from faithful.base.quantities import format_seconds
from faithful.base.records import parse_record, read_text
from faithful.base.shapes import Count, Sha256

T = TypeVar("T")
RECORD = "faithful.json"
CARD = "README.md"
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
ATTEMPTS, ATTEMPTS_OF_A_PATIENT_CLIENT = 5, 2
LONGEST_PAUSE = 120.0
LONGEST_DELAY = 900.0
SILENCE_SECONDS = 100.0
CLIENTS = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2")
_watching = 0


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
    record: dict[str, Any] | None = None
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

    def patiently(self, call: Callable[..., T], *args: Any, attempts: int = ATTEMPTS, **kwargs: Any) -> T:
        """Call; what may pass (429, 5xx, a broken line, silence) is tried again after the server's delay or a growing pause.

        Calls that the client itself repeats five times are given `ATTEMPTS_OF_A_PATIENT_CLIENT`.

        Raises:
            FaithfulError: it did not pass, or it is of the lasting kind.
        """
        for attempt in range(1, attempts + 1):
            try:
                return self.once(call, *args, **kwargs)
            except Exception as error:  # the client has a type for each status, and httpx its own
                self.wait_or_give_up(error, last=attempt == attempts, attempt=attempt)
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def once(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call; silence ends every request of it after `SILENCE_SECONDS`, and a delay above `LONGEST_DELAY` ends the call.

        Raises:
            FaithfulError: the server asks for a longer delay; else whatever the client raises.
        """
        with _watched():
            return call(*args, **kwargs)

    def wait_or_give_up(self, error: Exception, attempt: int, *, last: bool) -> None:
        """Sleep before the next attempt.

        Raises:
            FaithfulError: there is to be none.
            Exception: the error itself, where it is no answer of the Hub and no trouble on the way to it.
        """
        error = _cause(error)
        if isinstance(error, FaithfulError) or not is_of_the_client(error):
            raise error
        if last or not is_transient(error):
            raise self.sentence(error) from error
        delay = delay_of(error)
        if delay is None:
            time.sleep(min(2.0**attempt, LONGEST_PAUSE))
        else:
            time.sleep(delay)

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
        cards = {CARD, *((record or {}).get("cards") or ())} & files.keys()
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

        return self.patiently(listed, attempts=ATTEMPTS_OF_A_PATIENT_CLIENT)

    def fetch(self, path: str, revision: str, folder: Path | None = None) -> Path:
        """A file at a revision: in the client's cache, or below a folder."""
        from huggingface_hub import hf_hub_download

        return Path(
            self.patiently(hf_hub_download, self.name, path, repo_type=self.kind, revision=revision, local_dir=folder)
        )

    def text(self, path: str, revision: str) -> str:
        """Content of a small file."""
        return read_text(self.fetch(path, revision))

    def record(self, revision: str) -> dict[str, Any] | None:
        """What a publication wrote about itself, None where the file is something else."""
        return _parsed(self.text(RECORD, revision), f"{RECORD} of {self.name}")

    def sentence(self, error: Exception) -> FaithfulError:
        """An error of the client in one sentence."""
        if isinstance(error, FaithfulError):
            return error
        status, lines = status_of(error), [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = str(getattr(error, "server_message", None) or "") or (lines[0] if lines else type(error).__name__)
        if status == 401:
            return FaithfulError(
                "The Hub does not accept the token; log in again with `hf auth login`, or mend HF_TOKEN."
            )
        if status == 403:
            return FaithfulError(f"The Hub token may not write to {self.name}; log in with one that may.")
        if lacks_xet(error):
            return FaithfulError(
                "This Hub has no Xet storage; set HF_HUB_DISABLE_XET=1 and run the same command again."
            )
        if type(error).__name__ == "OfflineModeIsEnabled":
            return FaithfulError("Offline mode is on; unset HF_HUB_OFFLINE and run the same command again.")
        if is_transient(error):
            return FaithfulError(
                f"{self.name}: the Hub cannot be reached or does not answer ({reason.rstrip('.')}); run the same command"
                " again, and it goes on from what is there."
            )
        return FaithfulError(f"{self.name}: the Hub answers: {' '.join(reason.split()).rstrip('.')}.")


@contextmanager
def _watched() -> Iterator[None]:
    """Have every session that the client opens meanwhile end silence and refuse long delays, also a new one after an error.

    The client asks for no limit in some requests and sleeps as long as it is told to in others, both without a setting.
    """
    global _watching
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    make = getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    if not getattr(make, "is_watched", False):

        def watched() -> Any:
            client = make()
            hooks = client.event_hooks
            client.event_hooks = {
                "request": [*hooks.get("request", []), _end_silence],
                "response": [*hooks.get("response", []), _refuse_long_delay],
            }
            return client

        watched.is_watched = True  # type: ignore[attr-defined]
        set_client_factory(watched)
    _watching += 1
    try:
        yield
    finally:
        _watching -= 1


def _end_silence(request: Any) -> None:
    if _watching:
        limits = request.extensions.get("timeout") or {}
        stated = {part: limits.get(part) for part in ("connect", "read", "write", "pool")}
        request.extensions["timeout"] = {
            part: SILENCE_SECONDS if limit is None else min(limit, SILENCE_SECONDS) for part, limit in stated.items()
        }


def _refuse_long_delay(response: Any) -> None:
    delay = _delay_in(response.status_code, response.headers)
    if _watching and response.status_code in TRANSIENT and delay is not None and delay > LONGEST_DELAY:
        raise FaithfulError(
            f"The Hub's quota is used up for {format_seconds(delay)}; run the same command again then, and it goes on from"
            " what is there."
        )


def is_of_the_client(error: BaseException) -> bool:
    """Whether an error tells of the Hub or of the way to it, and not of a fault in this program."""
    if isinstance(error, FaithfulError | OSError):
        return True
    if any(kind.__module__.split(".")[0] in CLIENTS for kind in type(error).__mro__):
        return True
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    raised_in = str(trace.tb_frame.f_globals.get("__name__", "")) if trace else ""
    return isinstance(error, ValueError | RuntimeError) and raised_in.split(".")[0] in CLIENTS


def _cause(error: Exception) -> Exception:
    """What went wrong in an upload: the client hides it behind a RuntimeError."""
    inner = error.__cause__
    return inner if type(error) is RuntimeError and isinstance(inner, Exception) and is_of_the_client(error) else error


def status_of(error: BaseException | None) -> int | None:
    """HTTP status of an error, None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later: a status of that kind, a broken line, silence."""
    if type(error).__name__ == "OfflineModeIsEnabled" or lacks_xet(error):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    broken = bool(names & {"TransportError", "ConnectionError", "LocalEntryNotFoundError"})
    return status_of(error) in TRANSIENT or (broken and status_of(error) is None)


def lacks_xet(error: Exception) -> bool:
    """Whether a Hub has no Xet storage, which the client only says in words."""
    return "/xet-write-token/" in str(error) and "404" in str(error)


def delay_of(error: Exception) -> float | None:
    """Seconds that the server asks to wait (`Retry-After`, or the `RateLimit` header's reset), None where it does not say."""
    return _delay_in(status_of(error), getattr(getattr(error, "response", None), "headers", {}))


def _delay_in(status: int | None, headers: Any) -> float | None:
    after = str(headers.get("retry-after", ""))
    if after.isdigit():
        return float(after)
    if status == 429:
        fields = dict(part.strip().partition("=")[::2] for part in str(headers.get("ratelimit", "")).split(";"))
        if str(fields.get("t", "")).isdigit():
            return float(fields["t"])
    return None


class ListedFile(TypedDict):
    """A file that a publication lists."""

    bytes: Count
    sha256: Sha256


class ListedCard(TypedDict, total=False):
    """What a publication keeps of a card, to tell what people changed of it."""

    metadata: dict[str, Any]
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


def _parsed(text: str | None, where: str) -> dict[str, Any] | None:
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
