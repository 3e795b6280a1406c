"""Take a corpus that was published with `faithful publish` as it is: the same bytes, the same certificate."""

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import drop_links, folder_lock, sha256_file, write_text
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.records import read_text
from faithful.hub.card_file import merge_cards
from faithful.hub.plan import is_plain_name
from faithful.hub.repository import CARD, RECORD, ListedFile, Repository
from faithful.options.fields import options_of
from faithful.store.corpus import MANIFEST, SPLITS, Manifest, read_manifest
from faithful.store.places import run_folder, run_name
from faithful.store.token_bounds import refuse_outside
from generation.configs.add import AddConfig
from generation.external.prepare import AddPlan
from generation.files.local_files import builder_of
from generation.sources.datasets_readers import require_hub
from generation.sources.resolve import find_entry
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.recorded import existing_corpus, model_differences

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
    files: dict[str, ListedFile]


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

    if not HUB_ID.fullmatch(name) or find_entry(name) or Path(name).exists() or builder_of(Path(name)):
        return None
    require_hub(name)
    repository = Repository(name, "dataset")
    try:
        info = repository.patiently(repository.api.dataset_info, name, revision=revision)
        siblings = {sibling.rfilename for sibling in info.siblings or []}
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
    listed = _listed(name, record["files"])
    below = _below(name, list(listed), config)
    files = {path.removeprefix(below): facts for path, facts in listed.items() if path.startswith(below)}
    return PublishedCorpus(
        repository, str(info.sha), below, {path: facts for path, facts in files.items() if OURS.fullmatch(path)}
    )


def fetch_published(config: AddConfig, published: PublishedCorpus, report: Reporter = silent) -> CorpusResult:
    """Bring a published corpus here. Running it again completes it, takes what was added on the Hub, or does nothing.

    Raises:
        FaithfulError: options that would make it another corpus, another corpus in its folder, files that arrived damaged.
    """
    return run_job(_Fetch(config, published), report)


def plan_fetch(config: AddConfig, published: PublishedCorpus) -> AddPlan:
    """What `fetch_published` would bring, without writing anything.

    Raises:
        FaithfulError: what `fetch_published` would refuse before it starts.
    """
    job = _Fetch(config, published)
    job.is_complete()
    here = job.existing()
    return AddPlan(
        job.folder,
        job.there,
        {split: job.there.tokens(split) for split in SPLITS},
        {split: here.tokens(split) if here else 0 for split in SPLITS},
    )


class _Fetch(CorpusJob):
    """`there` is the published manifest; of what does not fit it nothing is fetched."""

    def __init__(self, config: AddConfig, published: PublishedCorpus) -> None:
        made = [option for option in options_of(AddConfig) if option.name not in TAKEN]
        stated = [option.names[0].partition("/")[0] for option in made if getattr(config, option.name) is not None]
        if stated:
            raise FaithfulError(
                f"{config.name} is a finished corpus and is taken as it is; leave {', '.join(stated)} out."
            )
        self.config, self.published = config, published
        self.there = there = _manifest_of(published)
        _refuse_unlisted(published, there)
        if model_differences(config.model, there):
            made_for = there.identity["model"]["name"]
            raise FaithfulError(f"{config.name} is made for {made_for}, not for {config.model}; leave --for out.")
        self.folder, self.is_in_run = _folder(config, published, there), not config.out
        self.manifest = self.existing() or there

    def existing(self) -> Manifest | None:
        """The manifest is the last file that comes to its place: what a killed run fetched may lie there without it."""
        if not (self.folder / MANIFEST).exists() and self._is_half_fetched():
            return None
        here = existing_corpus(self.folder)
        if here and digest(here.identity) != digest(self.there.identity):
            raise FaithfulError(f"{self.folder} holds another corpus than {self.config.name}; choose another --out.")
        return here

    def _is_half_fetched(self) -> bool:
        """Whether there is nothing but what a killed fetch brought, as far as it had put that into its place."""
        there = [path for path in self.folder.rglob("*") if path.is_symlink() or not path.is_dir()]
        names = {path.relative_to(self.folder).as_posix() for path in there}
        placed = {name for name in names if name[0] != "."}
        return (self.folder / ARRIVING).is_dir() and placed <= {*self.published.files, CARD}

    def is_reached(self) -> bool:
        return all(self.manifest.tokens(split) >= self.there.tokens(split) for split in SPLITS)

    def is_complete(self) -> bool:
        """Whether the folder holds at least what was published, undamaged, with its certificate.

        Raises:
            FaithfulError: it holds more than was published of one split and less, or damaged, of another.
        """
        has_more = any(self.manifest.tokens(split) > self.there.tokens(split) for split in SPLITS)
        is_whole = (self.folder / MANIFEST).exists() and super().is_complete()
        if has_more and not is_whole:
            what = "is damaged" if self.is_reached() else "lacks some of what was published"
            raise FaithfulError(
                f"{self.folder} has grown beyond {self.config.name} and {what}, and nothing of it was touched; choose another"
                " --out, or run the command that grew it again."
            )
        return is_whole and (has_more or not _says_more(self.there, self.manifest))

    def settle(self, report: Reporter) -> None:
        """Nothing: what was published is to be there."""

    def keeps(self, error: Exception, was_empty: bool) -> bool:
        return True

    def write(self, report: Reporter) -> bool:
        _fetch(self.published, self.folder, self.there.identity["model"]["vocab_size"], report)
        return True

    def finish(self, report: Reporter) -> bool:
        """Nothing but what a killed run left in hand: its description came with it."""
        if (self.folder / ARRIVING).exists():
            with contextlib.suppress(FaithfulError), folder_lock(self.folder):
                shutil.rmtree(self.folder / ARRIVING, ignore_errors=True)
        return False

    def holds(self) -> str:
        return f"{self.folder} holds all of {self.config.name} already"

    def wrote(self) -> str:
        return (
            f"{self.folder} holds {self.manifest.tokens():,} training and {self.manifest.tokens('test'):,} held-out tokens of"
            f" {self.config.name} at {self.published.revision[:12]}, as they were published."
        )


def _listed(name: str, files: dict[str, ListedFile]) -> dict[str, ListedFile]:
    """The files that a record lists, each a plain path with its checksum and size.

    Raises:
        FaithfulError: it lists something else; the record is of another's making and is not followed.
    """
    for path in files:
        if not all(is_plain_name(part) for part in path.split("/")):
            raise FaithfulError(
                f"{name} lists '{path}', which is not a file that `faithful publish` made; take the data set from its author"
                " again."
            )
    return files


def _refuse_unlisted(published: PublishedCorpus, there: Manifest) -> None:
    """Every shard of the manifest must be a file of the publication, with the checksum that it lists."""
    for shard in (shard for split in there.shards.values() for shard in split):
        if shard.file not in published.files or published.files[shard.file]["sha256"] != shard.sha256:
            raise FaithfulError(
                f"{published.repository.name} is not whole: its manifest names {shard.file}, and its list of files does not"
                " have it so; ask its author to publish it again."
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


def _manifest_of(published: PublishedCorpus) -> Manifest:
    """The manifest as published, from the client's cache."""
    path = published.repository.fetch(published.below + MANIFEST, published.revision)
    return read_manifest(path.parent)


def _folder(config: AddConfig, published: PublishedCorpus, there: Manifest) -> Path:
    if config.out:
        return config.out
    name = published.below.rstrip("/") or there.name
    if not is_plain_name(name):
        raise FaithfulError(
            f"{config.name} calls itself '{name}', which cannot be a folder here; choose one with --out."
        )
    run = run_folder(config.run) if config.run else run_folder(run_name(there.identity["model"]["name"]))
    return run / "corpora" / name


def _says_more(there: Manifest, here: Manifest) -> bool:
    """Whether the published corpus has a certificate or statistics that the same corpus here lacks."""
    if there.statistics and not here.statistics:
        return True
    if not there.certificate or there.certificate == here.certificate:
        return False
    scored = [(manifest.certificate or {}).get("tokens_scored", 0) for manifest in (there, here)]
    return scored[0] >= scored[1]


def _fetch(published: PublishedCorpus, folder: Path, vocab_size: int, report: Reporter) -> None:
    """Files into a folder of their own, checked, their ids too; then each to its place, the manifest last."""
    arriving, total = folder / ARRIVING, sum(facts["bytes"] for facts in published.files.values())
    drop_links(arriving)
    done, step = 0, f"fetching {published.repository.name}"
    report(Progress(step, 0, total, "bytes"))
    for path, facts in published.files.items():
        arrived = folder / path
        if not (arrived.is_file() and sha256_file(arrived) == facts["sha256"]):
            arrived = published.repository.fetch(published.below + path, published.revision, arriving)
            if sha256_file(arrived) != facts["sha256"]:
                arrived.unlink()
                raise FaithfulError(
                    f"{path} of {published.repository.name} arrived damaged; run the same command again."
                )
        if path.endswith(".parquet"):
            ids = pq.read_table(arrived, columns=["token_ids"])["token_ids"]
            refuse_outside(pc.list_flatten(ids), vocab_size, f"{path} of {published.repository.name}")
        done += facts["bytes"]
        report(Progress(step, done, total, "bytes"))
    published.repository.fetch(published.below + CARD, published.revision, arriving)
    for path in (*(path for path in published.files if path != MANIFEST), CARD, MANIFEST):
        source = arriving / (published.below + path)
        if path == CARD and source.is_file() and (folder / CARD).is_file():
            here, there = (read_text(place) for place in (folder / CARD, source))
            write_text(folder / CARD, merge_cards(there, here, None))
        elif source.is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            source.replace(folder / path)
