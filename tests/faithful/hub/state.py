"""Repositories as the Hub keeps them: large objects by checksum, commits as trees, tags, users, quotas."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

LARGE = 1 << 20
LARGE_NAMES = (".parquet", ".safetensors", ".png", ".bin", ".pt")


@dataclass(frozen=True)
class Blob:
    """A file in a tree."""

    content: bytes
    is_large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """What git calls it: of a large object, its pointer file."""
        content = self.content
        if self.is_large:
            content = f"version lfs\noid sha256:{self.sha256}\nsize {len(content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Commit:
    """A revision of a repository."""

    sha: str
    parent: str | None
    title: str
    tree: dict[str, Blob]


@dataclass
class Repository:
    """One repository; `objects` holds what was uploaded and need not be in any tree."""

    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Blob] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """Content of the files on main."""
        return {path: blob.content for path, blob in self.head.tree.items()}

    def at(self, revision: str) -> Commit | None:
        sha = self.head.sha if revision in ("main", "refs/heads/main") else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.sha == sha), None)

    def commit(self, title: str, tree: dict[str, Blob]) -> Commit:
        parent = self.commits[-1].sha if self.commits else None
        names = "".join(f"{path}{blob.git_oid}" for path, blob in sorted(tree.items()))
        sha = hashlib.sha1(f"{parent}{title}{len(self.commits)}{names}".encode()).hexdigest()
        self.commits.append(Commit(sha, parent, title, tree))
        return self.head


@dataclass(frozen=True)
class User:
    """Whose token it is, and what it may do."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"


@dataclass
class Fault:
    """What goes wrong with requests whose "METHOD path" ends with or holds `where`.

    Attributes:
        where: part of "METHOD path".
        what: a status, "reset" (the connection, half-way through the request's body), "hang", "lost" (done, but the
            answer never arrives), or a function to call before the request is looked at.
        times: so often.
        headers: sent along with a status.
    """

    where: str
    what: int | str | Callable[[], None]
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    """The whole server's state.

    Attributes:
        users: by token.
        repositories: by (type, id), type `model` or `dataset`.
        faults: what is to go wrong, taken in order.
        log: "METHOD path" of every request, in order.
        received: bytes of bodies, by method.
        sent: bytes of answers' bodies, by path.
        commit_quota: how many commits each repository may get.
        page: entries of a tree per page.
        before, after: called with the number of each request before it is looked at, and when its effect is there but no
            answer was sent.
    """

    users: dict[str, User] = field(default_factory=lambda: {"token": User("user", ("lab",))})
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    commit_quota: int = 128
    page: int = 50
    before: Callable[[int], None] = lambda number: None
    after: Callable[[int], None] = lambda number: None
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, kind: str, name: str, *, private: bool = False) -> Repository:
        """A new repository with the first commit that the Hub makes."""
        repository = Repository(private)
        repository.commit("initial commit", {".gitattributes": Blob(b"*.parquet filter=lfs\n", False)})
        self.repositories[kind, name] = repository
        return repository

    def take_fault(self, request: str) -> Fault | None:
        """The fault due for a request."""
        with self.lock:
            found = next((fault for fault in self.faults if fault.where in request), None)
            if found:
                found.times -= 1
                if not found.times:
                    self.faults.remove(found)
            return found

    def edit(self, kind: str, name: str, path: str, content: bytes) -> Commit:
        """Somebody commits a file of their own."""
        repository = self.repositories[kind, name]
        return repository.commit(f"edit {path}", repository.head.tree | {path: Blob(content, False)})

    def count(self, part: str) -> int:
        """How many requests held this."""
        return sum(part in request for request in self.log)


def hang(released: threading.Event, seconds: float = 60.0) -> None:
    """Keep a client waiting until the server is stopped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not released.wait(0.1):
        pass
