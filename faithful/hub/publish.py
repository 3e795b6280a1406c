"""`faithful publish corpus|saes|run`: onto the Hub in one commit each, or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter
from faithful.base.quantities import check_stated
from faithful.hub.config import PublishConfig
from faithful.hub.plan import Bundle, Plan, check_name, check_revision, make_plan
from faithful.hub.repository import Remote, Repository
from faithful.hub.send import Published, send


@dataclass(frozen=True)
class Publication:
    """What publishing did, or would do.

    Attributes:
        plans: one per repository.
        published: what became of them; empty of a plan only.
        unread: why the Hub could not be asked, None when it was; then everything counts as new.
        private: whether what is still to be made is private.
    """

    plans: tuple[Plan, ...]
    published: tuple[Published, ...] = ()
    unread: str | None = None
    private: bool = True


def publish_bundles(
    config: PublishConfig,
    bundles: Callable[[], list[Bundle]],
    locked: Callable[[], list[Path]],
    report: Reporter,
    dry_run: bool,
) -> Publication:
    """Publish what belongs into one or two repositories, or say what would be sent.

    Args:
        config: what to publish where.
        bundles: makes what belongs there, once nothing speaks against it.
        locked: the folders that nobody may write meanwhile.
        report: progress.
        dry_run: plan only.

    Raises:
        FaithfulError: see `studies.runs.publish`.
    """
    check_stated(config)
    check_name(config.name)
    check_revision(config.revision)
    if dry_run:
        return _dry_run(config, bundles())
    with _held(locked()):
        found = bundles()
        places = _places(found)
        _check_terms(config, found)
        places[0].check_right_to_write()
        plans = [make_plan(bundle, place.read(), config.revision) for bundle, place in zip(found, places, strict=True)]
        for plan in plans:
            _check(config, plan)
        private = not config.public
        done = [send(plan, place, private=private, report=report) for plan, place in zip(plans, places, strict=True)]
    return Publication(tuple(plans), tuple(done), private=private)


def _places(bundles: list[Bundle]) -> list[Repository]:
    return [Repository(bundle.name, bundle.kind) for bundle in bundles]


def _dry_run(config: PublishConfig, bundles: list[Bundle]) -> Publication:
    plans, unread = [], None
    for bundle, place in zip(bundles, _places(bundles), strict=True):
        remote = Remote()
        if unread is None:
            try:
                remote = place.read()
            except FaithfulError as error:
                unread = str(error)
        plans.append(make_plan(bundle, remote, config.revision))
    return Publication(tuple(plans), unread=unread, private=not config.public)


def _check_terms(config: PublishConfig, bundles: list[Bundle]) -> None:
    conditions = list(dict.fromkeys(condition for bundle in bundles for condition in bundle.conditions))
    if conditions and not config.accept_licence:
        shown = " ".join(
            f"[{found.corpus}: {found.origin}, licence {found.licence or 'unknown'}] {found.terms}"
            for found in conditions
        )
        raise FaithfulError(
            f"Nothing was sent: passing these texts on is under conditions. {shown} Read them, and add --accept-licence when"
            " they are met."
        )


def _check(config: PublishConfig, plan: Plan) -> None:
    if plan.objections and not config.yes:
        raise FaithfulError(
            f"Nothing was sent: {'; '.join(plan.objections)}; choose another name, or add --yes to go on."
        )
    name = plan.bundle.name
    if config.public is False and plan.private is False:
        raise FaithfulError(
            f"Nothing was sent: {name} is public already; make it private on its page, or leave --private out."
        )
    if config.public and plan.private:
        raise FaithfulError(
            f"Nothing was sent: {name} is private already; make it public on its page, or leave --public out."
        )
    if config.public is None and plan.private is False and not plan.is_update:
        raise FaithfulError(
            f"Nothing was sent: {name} is public, and `faithful publish` did not make it; add --public to publish there for"
            " everybody to see, or make it private on its page."
        )


@contextmanager
def _held(folders: list[Path]) -> Iterator[None]:
    """Keep folders as they are meanwhile; those that cannot be written need no lock.

    Raises:
        FaithfulError: another process is writing one of them.
    """
    with ExitStack() as stack:
        for folder in folders:
            if folder.is_dir() and os.access(folder, os.W_OK):
                try:
                    stack.enter_context(folder_lock(folder, shared_below=True))
                except FaithfulError as error:
                    if not isinstance(error.__context__, BlockingIOError):
                        raise
                    raise FaithfulError(
                        f"Nothing was sent: another process is writing {folder}; publish it when that has ended."
                    ) from None
        yield
