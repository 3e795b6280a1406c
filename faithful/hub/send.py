"""Sending a plan: large files first, where nobody sees them, then one commit, its check by checksum, and the tag."""

import json
import warnings
from dataclasses import dataclass
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter, silent
from faithful.hub.errors import PAUSES_OF_A_PATIENT_CALL, is_of_the_client, status_of, watched
from faithful.hub.local_files import LocalFile, check_unchanged
from faithful.hub.plan import Plan, is_there
from faithful.hub.repository import CARD, Remote, Repository

PIECE = 256
CONFLICTS = (409, 412)


@dataclass(frozen=True)
class Published:
    """What became of a plan.

    Attributes:
        name, kind: the repository.
        address: where people find it.
        commit: the revision that holds it.
        revision: its tag.
        files, size: what was sent, in number and in bytes.
        changed: whether anything was done.
        private: whether the repository is.
    """

    name: str
    kind: str
    address: str
    commit: str
    revision: str
    files: int
    size: int
    changed: bool
    private: bool


def send(plan: Plan, repository: Repository, *, private: bool = True, report: Reporter = silent) -> Published:
    """Carry out a plan. Whatever ends it, main holds what it held before or the whole publication.

    Raises:
        FaithfulError: no right to write, somebody else changed the repository meanwhile, the Hub gave up, a file that
            arrived damaged.
    """
    name, kind = repository.name, repository.kind
    head, is_private = plan.head, bool(plan.private)
    if any(file.path == CARD for file in plan.send):
        _validate(repository, plan.card)
    if head is None:
        repository.patiently(repository.api.create_repo, name, repo_type=kind, private=private, exist_ok=True)
        now = _just_made(repository, plan, private=private)
        head, is_private = str(now.head), now.private
    elif plan.commits:
        _check_access(repository)
    commit = _commit(plan, repository, head, report) if plan.commits else head
    wrong = is_there(plan, repository.files(commit))
    if wrong:
        raise FaithfulError(
            f"{name} does not hold what was sent: {', '.join(wrong[:3])}; run the same command again to replace it."
        )
    if plan.wants_tag:
        _tag(plan, repository, commit)
    return Published(
        name,
        kind,
        repository.address,
        commit,
        plan.revision,
        len(plan.send),
        plan.size,
        bool(plan.commits or plan.wants_tag),
        is_private,
    )


def _just_made(repository: Repository, plan: Plan, *, private: bool) -> Remote:
    """A repository that was just made; refuse one that somebody else filled, or made public, at the same time."""
    now = repository.read(with_texts=False)
    if now.head is None:
        raise FaithfulError(f"{repository.name} was made, but cannot be read back; run the same command again.")
    if private and not now.private:
        raise FaithfulError(
            f"Nothing was sent: {repository.name} is public, somebody else has just made it; make it private on its page, or"
            " add --public."
        )
    if set(now.files) - {".gitattributes"} and is_there(plan, now.files):
        raise _changed(repository, plan)
    return now


def _check_access(repository: Repository) -> None:
    """Ask for the right to write to a repository that exists; a Hub without that question is asked by the upload itself."""
    try:
        repository.patiently(repository.api.auth_check, repository.name, repo_type=repository.kind, write=True)
    except FaithfulError as error:
        if status_of(error.__cause__) == 403:
            raise


def _commit(plan: Plan, repository: Repository, head: str, report: Reporter) -> str:
    """Upload and commit; the commit's name. An answer that was lost is found out by looking."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    additions = [_addition(file) for file in plan.send]
    try:
        _upload(plan, repository, additions, report)
    finally:
        check_unchanged(plan.send)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *additions, *(CommitOperationDelete(path) for path in plan.delete),
    ]  # fmt: skip
    attempts = repository.attempts()
    while True:
        try:
            with watched(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
                made = repository.api.create_commit(
                    repository.name,
                    operations,
                    commit_message=f"Publish {plan.bundle.holds} as {plan.revision} with faithful",
                    repo_type=repository.kind,
                    revision="main",
                    parent_commit=head,
                )
            return str(made.oid)
        except Exception as error:  # the client has a type for each status, and httpx its own
            if not is_of_the_client(error):
                raise
            now = repository.read(with_texts=False)
            if now.head and now.head != head:
                return _our_own(plan, repository, now)
            if status_of(error) in CONFLICTS:
                raise _changed(repository, plan) from error
            attempts.wait(error)


def _validate(repository: Repository, card: str) -> None:
    """Let the Hub look at the metadata before anything is sent.

    Raises:
        FaithfulError: it refuses them.
    """
    from huggingface_hub import RepoCard

    def validate() -> None:
        try:
            RepoCard(card).validate(repository.kind)
        except ValueError as error:
            raise FaithfulError(
                f"The Hub refuses the card's metadata ({_complaints(str(error))}), so nothing was sent; mend README.md."
            ) from error

    repository.patiently(validate)


def _complaints(answer: str) -> str:
    """The sentences in the Hub's answer about a card."""
    try:
        found = "; ".join(str(error["message"]) for error in json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError):
        found = answer
    return " ".join(found.split()).rstrip(".")


def _upload(plan: Plan, repository: Repository, additions: list[Any], report: Reporter) -> None:
    """Send what is stored by checksum; what is there is skipped, so that a second run sends only the rest."""
    done = 0
    step = f"sending {plan.bundle.name}"
    report(Progress(step, 0, plan.size, "bytes"))
    for first in range(0, len(additions), PIECE):
        part = additions[first : first + PIECE]
        repository.patiently(
            repository.api.preupload_lfs_files,
            repository.name,
            additions=part,
            pauses=PAUSES_OF_A_PATIENT_CALL,
            repo_type=repository.kind,
            revision="main",
            free_memory=False,
        )
        done += sum(file.size for file in plan.send[first : first + PIECE])
        report(Progress(step, done, plan.size, "bytes"))


def _addition(file: LocalFile) -> Any:
    """A file as the client takes it, with the checksum that is known already."""
    from huggingface_hub import CommitOperationAdd

    operation = CommitOperationAdd(file.path, file.source)
    operation.upload_info.sha256 = bytes.fromhex(file.sha256)
    return operation


def _our_own(plan: Plan, repository: Repository, now: Remote) -> str:
    """The commit that main has moved to, if it is ours.

    Raises:
        FaithfulError: it is somebody else's.
    """
    if now.head is None or is_there(plan, now.files):
        raise _changed(repository, plan)
    return now.head


def _tag(plan: Plan, repository: Repository, commit: str) -> None:
    api, name, kind = repository.api, repository.name, repository.kind
    repository.patiently(api.create_tag, name, tag=plan.revision, revision=commit, repo_type=kind, exist_ok=True)
    refs = repository.patiently(api.list_repo_refs, name, repo_type=kind)
    if {tag.name: tag.target_commit for tag in refs.tags}.get(plan.revision) != commit:
        raise FaithfulError(
            f"{name} is complete, but its tag {plan.revision} names another commit; choose another --revision."
        )


def _changed(repository: Repository, plan: Plan) -> FaithfulError:
    """A first publication beside what somebody else put there wants a --yes; an earlier one is brought up to date."""
    way = "run the same command again" if plan.is_update else "look at that, then run the same command with --yes"
    return FaithfulError(
        f"Somebody else changed {repository.name} while it was published, and nothing of theirs was touched; {way} to publish"
        " on top."
    )
