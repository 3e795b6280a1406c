"""What a publication would send: files and checksums against what the Hub holds, and what stands against it."""

import re
from dataclasses import dataclass, field
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.records import record_bytes
from faithful.hub.card_file import merge_cards, metadata_of, outside_of
from faithful.hub.local_files import LocalFile
from faithful.hub.repository import CARD, RECORD, Remote, RemoteFile

FORMAT = "faithful publication 1"
OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
REPOSITORY = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
LONGEST_NAME = 96
MADE_BY_THE_HUB = (".gitattributes",)
VERSION = re.compile(r"v(\d+)")
TAG = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[\w.-]*[\w-])?")
NOT_TAGS = re.compile(r"main|HEAD|[0-9a-f]{40}|.*\.lock")
PLAIN = re.compile(r"\w(?:[\w .+=@-]*[\w+=@-])?")


@dataclass(frozen=True)
class Condition:
    """Terms that somebody must accept before tokens are passed on."""

    corpus: str
    origin: str
    licence: str | None
    terms: str


@dataclass(frozen=True)
class Bundle:
    """What belongs into one repository.

    Attributes:
        name: `USER/REPO`.
        kind: `dataset` or `model`.
        holds: `corpus`, `saes` or `run`.
        subject: what it is of, so that another corpus or model is not put in its place.
        files: everything but the cards and the record.
        card: README.md as it would be in an empty repository.
        cards: likewise the cards of its folders, by path.
        folders: where nothing but this publication's files may be (`data/`).
        conditions: terms to be accepted.
        notes: what is left out, and why.
        parts: identity of each part (a corpus of a run, an SAE) by its place, so that another is not put in its place.
        objections: what is only published when the user says yes.
    """

    name: str
    kind: str
    holds: str
    subject: str
    files: tuple[LocalFile, ...]
    card: str
    cards: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()
    parts: dict[str, str] = field(default_factory=dict)
    objections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What would happen to one repository.

    Attributes:
        bundle: what belongs there.
        head: the commit that main is at, None where the repository has to be made.
        files: all files of the bundle, cards and record included.
        send: those that are not there yet; none means no commit.
        delete: files of an earlier publication that are no longer part of it.
        revision: the tag that names this publication.
        wants_tag: whether it has to be made.
        objections: what is only done when the user says yes.
        private: whether the repository is, None where it does not exist.
        is_update: whether an earlier publication is there.
    """

    bundle: Bundle
    head: str | None
    files: tuple[LocalFile, ...]
    send: tuple[LocalFile, ...]
    delete: tuple[str, ...]
    revision: str
    wants_tag: bool
    objections: tuple[str, ...]
    private: bool | None
    is_update: bool

    @property
    def commits(self) -> int:
        """How many commits it takes: one or none."""
        return int(bool(self.send or self.delete))

    @property
    def size(self) -> int:
        """Bytes of the files to send."""
        return sum(file.size for file in self.send)

    @property
    def card(self) -> str:
        """The rendered README.md."""
        content = next(file.source for file in self.files if file.path == CARD)
        assert isinstance(content, bytes)
        return content.decode()


def make_plan(bundle: Bundle, remote: Remote, revision: str | None = None) -> Plan:
    """Compare a bundle with the repository as it is.

    Args:
        bundle: what belongs there.
        remote: what is there.
        revision: tag to give; by default the next free `vN` where anything changed.

    Raises:
        FaithfulError: the tag names another revision already.
    """
    old = remote.record or {}
    cards = {CARD: bundle.card} | bundle.cards
    files = (*bundle.files, *(_merged(path, card, remote) for path, card in cards.items()))
    by_path = sorted(bundle.files, key=lambda file: file.path)
    same = {
        "format": FORMAT,
        "repository": bundle.name,
        "holds": bundle.holds,
        "subject": bundle.subject,
        "parts": bundle.parts,
        "cards": {path: {"metadata": metadata_of(card), "outside": outside_of(card)} for path, card in cards.items()},
        "files": {file.path: {"bytes": file.size, "sha256": file.sha256} for file in by_path},
    }
    mine = {file.path for file in files} | {RECORD}
    was = [path for path in (*(old.get("files") or {}), *(old.get("cards") or {})) if path in remote.files]
    inside = [path for path in remote.files if bundle.folders and path.startswith(bundle.folders)]
    delete = tuple(sorted({*was, *inside} - mine))
    send = [file for file in files if not file.is_at(remote.files.get(file.path))]
    unchanged = not send and not delete and {key: old.get(key) for key in same} == same
    tag = revision or (str(old["revision"]) if unchanged and old.get("revision") else _next_version(remote))
    record = LocalFile.of(RECORD, record_bytes(same | {"revision": tag}))
    if not unchanged:
        send.append(record)
    wants_tag = tag not in remote.tags
    is_recorded = unchanged and (old.get("revision") == tag or remote.tags.get(tag) == remote.head)
    if not wants_tag and not is_recorded:
        raise FaithfulError(
            f"{bundle.name} has a revision {tag} already, which holds something else; choose another --revision."
        )
    return Plan(
        bundle=bundle,
        head=remote.head,
        files=(*files, record) if not unchanged else files,
        send=tuple(send),
        delete=delete,
        revision=tag,
        wants_tag=wants_tag,
        objections=(*_objections(bundle, remote, delete), *(bundle.objections if send else ())),
        private=remote.private if remote.head else None,
        is_update=remote.record is not None,
    )


def _merged(path: str, card: str, remote: Remote) -> LocalFile:
    """A card with what people changed of it on the Hub."""
    before = ((remote.record or {}).get("cards") or {}).get(path) or {}
    text = merge_cards(card, remote.cards.get(path), before.get("metadata"), str(before.get("outside", "")))
    return LocalFile.of(path, text.encode())


def is_there(plan: Plan, files: dict[str, RemoteFile]) -> list[str]:
    """Files of a plan that a revision lacks or holds otherwise, and files that should be gone; [] when all is well."""
    wrong = [file.path for file in plan.files if not file.is_at(files.get(file.path))]
    return wrong + [path for path in plan.delete if path in files]


def check_name(name: str) -> None:
    """Refuse what the Hub does not take as a repository, before it is asked.

    Raises:
        FaithfulError: it is not USER/REPO, or one of the two is no name there.
    """
    if name.count("/") != 1 or not all(name.split("/")):
        raise FaithfulError(f"'{name}' is not the name of a repository; write USER/REPO.")
    for part, form in zip(name.split("/"), (OWNER, REPOSITORY), strict=True):
        wrong = _wrong_in(part, form)
        if wrong:
            raise FaithfulError(f"The Hub takes no name like '{part}': {wrong}; choose another USER/REPO.")


def _wrong_in(part: str, form: re.Pattern[str]) -> str:
    """What the Hub has against one of the two names of a repository, "" when nothing."""
    if odd := re.sub(r"[A-Za-z0-9_.-]", "", part):
        return f"'{odd[0]}' is in it, and only letters of English, digits, dots, dashes and underscores may be"
    if part.startswith(("-", ".")) or part.endswith(("-", ".")):
        return "it begins or ends with a dash or a dot"
    if not form.fullmatch(part):
        return "it begins with an underscore"
    for pair in ("--", ".."):
        if pair in part:
            return f"'{pair}' is in it"
    if part.lower().endswith((".git", ".ipynb")):
        return f"it ends with '{part[part.rindex('.') :]}'"
    if len(part) > LONGEST_NAME:
        return f"it has {len(part)} characters, and {LONGEST_NAME} are the most"
    return ""


def check_revision(revision: str | None) -> None:
    """Refuse what cannot be a tag.

    Raises:
        FaithfulError: it is no plain name, or one that the Hub uses itself.
    """
    if revision is not None and (not TAG.fullmatch(revision) or NOT_TAGS.fullmatch(revision)):
        raise FaithfulError(
            f"'{revision}' cannot be a tag on the Hub; choose another --revision, of letters, digits, dots, dashes and"
            " underscores (v2, paper-1)."
        )


def is_plain_name(name: str) -> bool:
    """Whether a name can be a folder here, a folder on the Hub, a config and a part of a pattern, meaning itself."""
    return bool(PLAIN.fullmatch(name))


def _objections(bundle: Bundle, remote: Remote, delete: tuple[str, ...]) -> tuple[str, ...]:
    if remote.head is None:
        return ()
    found, old = [], remote.record
    strangers = [path for path in remote.files if path not in MADE_BY_THE_HUB]
    if old is None and strangers:
        found.append(f"{bundle.name} was not made by `faithful publish` and holds {len(strangers)} files")
    if old is not None and old.get("repository", bundle.name) != bundle.name:
        found.append(
            f"{bundle.name} is a copy of {old['repository']}, and not made by `faithful publish` under its name"
        )
    if old is not None and (old.get("holds"), old.get("subject")) != (bundle.holds, bundle.subject):
        found.append(f"{bundle.name} holds another publication ({old.get('holds')} {_short(old.get('subject'))})")
    before = dict(old.get("parts") or {}) if old is not None else {}
    others = [place for place, identity in bundle.parts.items() if before.get(place, identity) != identity]
    if others:
        names = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
        found.append(f"{len(others)} parts of {bundle.name} would be replaced by others of the same name ({names})")
    if delete:
        names = ", ".join(delete[:3]) + (" …" if len(delete) > 3 else "")
        found.append(f"{len(delete)} files of {bundle.name} would be deleted ({names})")
    return tuple(found)


def _short(subject: Any) -> str:
    return str(subject)[:16]


def _next_version(remote: Remote) -> str:
    numbers = [int(match[1]) for tag in remote.tags if (match := VERSION.fullmatch(tag))]
    return f"v{max(numbers, default=0) + 1}"
