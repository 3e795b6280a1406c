"""Take a corpus that was published with `faithful publish` as it is: the same bytes, the same certificate."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import drop_links, folder_lock, remove_temporaries, sha256_file, write_text
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.records import read_text
from faithful.hub.card_file import merge_cards
from faithful.hub.plan import is_plain_name
from faithful.hub.repository import CARD, RECORD, Repository
from faithful.store.corpus import MANIFEST, SPLITS, Manifest, intact_shards, read_manifest
from faithful.store.places import remember_run, run_folder, run_name
from faithful.store.token_bounds import refuse_outside
from generation.configs.add import AddConfig
from generation.external.prepare import AddPlan
from generation.sources.resolve import find_entry

ARRIVING = ".arriving"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
OURS = re.compile(
    rf"(?:{'|'.join(SPLITS.values())})/[\w-][\w.-]*\.parquet|{re.escape(MANIFEST)}|pit\.png|{re.escape(CARD)}"
)
TAKEN = ("name", "model", "out", "run", "config", "revision")


@dataclass(frozen=True)
class PublishedCorpus:
    """A corpus on the Hub.

    Attributes:
        repository: where it is.
        revision: commit.
        below: its folder there, "" or `own/`.
        files: checksum and size by path inside the corpus folder; the card is not among them.
    """

    repository: Repository
    revision: str
    below: str
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Adopted:
    """What `adopt` did: the fields of `AddResult`."""

    folder: Path
    manifest: Manifest
    changed: bool
    note: str


def find_published(name: str, config: str | None = None, revision: str | None = None) -> PublishedCorpus | None:
    """The corpus that a Hub id stands for, None where it is no publication of ours (or nothing, which others report).

    Args:
        name: as typed; names of the catalog and paths are not looked up.
        config: which of a run's corpora.
        revision: tag or commit.

    Raises:
        FaithfulError: a publication without corpora, several corpora and no config, a Hub that gave up.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if not HUB_ID.fullmatch(name) or find_entry(name) or Path(name).exists():
        return None
    repository = Repository(name, "dataset")
    try:
        info = repository.patiently(repository.api.dataset_info, name, revision=revision)
        siblings = {found.rfilename for found in info.siblings or []}
        if RECORD not in siblings:
            return None
        record = repository.record(str(info.sha))
    except FaithfulError as error:
        nothing = (EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError)
        if isinstance(error.__cause__, nothing):
            return None
        raise
    if record is None:
        return None
    listed = _listed(name, record)
    below = _below(name, list(listed), config)
    files = {path.removeprefix(below): facts for path, facts in listed.items() if path.startswith(below)}
    return PublishedCorpus(
        repository, str(info.sha), below, {path: facts for path, facts in files.items() if OURS.fullmatch(path)}
    )


def adopt(config: AddConfig, found: PublishedCorpus, report: Reporter = silent) -> Adopted:
    """Bring a published corpus here. Running it again completes it, takes what was added on the Hub, or does nothing.

    Raises:
        FaithfulError: options that would make it another corpus, another corpus in its folder, files that arrived damaged.
    """
    there, folder, has_all = _agreed(config, found)
    if has_all:
        _remember(config, folder)
        return Adopted(
            folder, read_manifest(folder), False, f"{folder} holds all of {config.name} already: nothing to do."
        )
    with folder_lock(folder):
        if not _has_all(config, folder, there):
            remove_temporaries(folder)
            _fetch(found, folder, there.identity["model"]["vocab_size"], report)
    _remember(config, folder)
    manifest = read_manifest(folder)
    note = (
        f"{folder} holds {manifest.tokens():,} training and {manifest.tokens('test'):,} held-out tokens of {config.name} at"
        f" {found.revision[:12]}, as they were published."
    )
    return Adopted(folder, manifest, True, note)


def plan_adopt(config: AddConfig, found: PublishedCorpus) -> AddPlan:
    """What `adopt` would bring, without writing anything.

    Raises:
        FaithfulError: what `adopt` would refuse before it starts.
    """
    there, folder, _ = _agreed(config, found)
    here = read_manifest(folder) if (folder / MANIFEST).exists() else None
    return AddPlan(
        folder,
        there,
        {split: there.tokens(split) for split in SPLITS},
        {split: here.tokens(split) if here else 0 for split in SPLITS},
    )


def _agreed(config: AddConfig, found: PublishedCorpus) -> tuple[Manifest, Path, bool]:
    """The published manifest, the folder it goes to, and whether all of it is there; what does not fit is refused."""
    stated = [name for name, value in vars(config).items() if value is not None and name not in TAKEN]
    if stated:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in stated)
        raise FaithfulError(f"{config.name} is a finished corpus and is taken as it is; leave {options} out.")
    there = _manifest_of(found)
    _refuse_unlisted(found, there)
    if config.model and config.model not in (there.identity["model"]["name"], there.provenance["model"].get("source")):
        raise FaithfulError(f"{config.name} is made for {there.identity['model']['name']}, not for {config.model}.")
    folder = _folder(config, found, there)
    has_all = _has_all(config, folder, there)
    is_foreign = folder.exists() and not (folder / MANIFEST).exists()
    if is_foreign and any(path.name[0] != "." for path in folder.iterdir()):
        raise FaithfulError(f"{folder} is not empty and holds no corpus; choose another --out.")
    return there, folder, has_all


def _listed(name: str, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The files that a record lists, each a plain path with its checksum and size.

    Raises:
        FaithfulError: it lists something else; the record is of another's making and is not followed.
    """
    for path in record["files"]:
        if not all(is_plain_name(part) for part in path.split("/")):
            raise FaithfulError(
                f"{name} lists '{path}', which is not a file that `faithful publish` made; take the data set from its author"
                " again."
            )
    return dict(record["files"])


def _refuse_unlisted(found: PublishedCorpus, there: Manifest) -> None:
    """Every shard of the manifest must be a file of the publication, with the checksum that it lists."""
    for shard in (shard for split in there.shards.values() for shard in split):
        if (found.files.get(shard.file) or {}).get("sha256") != shard.sha256:
            raise FaithfulError(
                f"{found.repository.name} is not whole: its manifest names {shard.file}, and its list of files does not have"
                " it so; ask its author to publish it again."
            )


def _below(name: str, paths: list[str], config: str | None) -> str:
    corpora = sorted(path.removesuffix(MANIFEST).rstrip("/") for path in paths if path.split("/")[-1] == MANIFEST)
    if not corpora:
        raise FaithfulError(f"{name} holds no corpus; name a data set that `faithful publish corpus` or `run` made.")
    if corpora == [""]:
        if config not in (None, "default"):
            raise FaithfulError(f"{name} is a single corpus and has no config {config}; leave --config out.")
        return ""
    if config is None and len(corpora) > 1:
        raise FaithfulError(f"{name} holds {len(corpora)} corpora; choose one with --config: {', '.join(corpora)}.")
    if config is not None and config not in corpora:
        raise FaithfulError(f"{name} has no config {config}; choose {', '.join(corpora)}.")
    return f"{config or corpora[0]}/"


def _manifest_of(found: PublishedCorpus) -> Manifest:
    """The manifest as published, from the client's cache."""
    path = found.repository.fetch(found.below + MANIFEST, found.revision)
    return read_manifest(path.parent)


def _folder(config: AddConfig, found: PublishedCorpus, there: Manifest) -> Path:
    if config.out:
        return config.out
    name = found.below.rstrip("/") or there.name
    if not is_plain_name(name):
        raise FaithfulError(
            f"{config.name} calls itself '{name}', which cannot be a folder here; choose one with --out."
        )
    run = run_folder(config.run) if config.run else run_folder(run_name(there.identity["model"]["name"]))
    return run / "corpora" / name


def _refuse_another(config: AddConfig, folder: Path, there: Manifest) -> None:
    if not (folder / MANIFEST).exists():
        return
    here = read_manifest(folder)
    if digest(here.identity) != digest(there.identity):
        raise FaithfulError(f"{folder} holds another corpus than {config.name}; choose another --out.")


def _has_all(config: AddConfig, folder: Path, there: Manifest) -> bool:
    """Whether the folder holds at least what was published, undamaged, with its certificate.

    Raises:
        FaithfulError: it holds another corpus, or more than was published of one split and less, or damaged, of another.
    """
    _refuse_another(config, folder, there)
    if not (folder / MANIFEST).exists():
        return False
    here = read_manifest(folder)
    lacks = any(here.tokens(split) < there.tokens(split) for split in SPLITS)
    has_more = any(here.tokens(split) > there.tokens(split) for split in SPLITS)
    shards = [shard for split in here.shards.values() for shard in split]
    is_whole = not lacks and all(intact_shards(folder, shards))
    if has_more and not is_whole:
        what = "lacks some of what was published" if lacks else "is damaged"
        raise FaithfulError(
            f"{folder} has grown beyond {config.name} and {what}, and nothing of it was touched; choose another --out, or run"
            " the command that grew it again."
        )
    return is_whole and (has_more or not _says_more(there, here))


def _says_more(there: Manifest, here: Manifest) -> bool:
    """Whether the published corpus has a certificate or statistics that the same corpus here lacks."""
    if there.statistics and not here.statistics:
        return True
    if not there.certificate or there.certificate == here.certificate:
        return False
    scored = [(manifest.certificate or {}).get("tokens_scored", 0) for manifest in (there, here)]
    return scored[0] >= scored[1]


def _fetch(found: PublishedCorpus, folder: Path, vocab_size: int, report: Reporter) -> None:
    """Files into a folder of their own, checked, their ids too; then each to its place, the manifest last."""
    arriving, total = folder / ARRIVING, sum(facts["bytes"] for facts in found.files.values())
    drop_links(arriving)
    done, step = 0, f"fetching {found.repository.name}"
    report(Progress(step, 0, total, "bytes"))
    for path, facts in found.files.items():
        arrived = folder / path
        if not (arrived.is_file() and sha256_file(arrived) == facts["sha256"]):
            arrived = found.repository.fetch(found.below + path, found.revision, arriving)
            if sha256_file(arrived) != facts["sha256"]:
                arrived.unlink()
                raise FaithfulError(f"{path} of {found.repository.name} arrived damaged; run the same command again.")
        if path.endswith(".parquet"):
            ids = pq.read_table(arrived, columns=["token_ids"])["token_ids"]
            refuse_outside(pc.list_flatten(ids), vocab_size, f"{path} of {found.repository.name}")
        done += facts["bytes"]
        report(Progress(step, done, total, "bytes"))
    found.repository.fetch(found.below + CARD, found.revision, arriving)
    for path in (*(path for path in found.files if path != MANIFEST), CARD, MANIFEST):
        source = arriving / (found.below + path)
        if path == CARD and source.is_file() and (folder / CARD).is_file():
            here, there = (read_text(place) for place in (folder / CARD, source))
            write_text(folder / CARD, merge_cards(there, here, None))
        elif source.is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            source.replace(folder / path)
    shutil.rmtree(arriving, ignore_errors=True)


def _remember(config: AddConfig, folder: Path) -> None:
    if not config.out:
        remember_run(folder.parent.parent)
