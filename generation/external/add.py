"""`faithful corpus add`: bring a comparison corpus in, on the terms of a sampled one."""

from dataclasses import replace
from typing import Final

from faithful.base.errors import FaithfulError
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.embedded.stdlib_seen import passage_hash, seen_passages
from faithful.hub.errors import ConnectionLostError
from faithful.models.spec import check_unchanged
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import MANIFEST, SPLITS, Manifest, read_manifest, write_manifest
from generation.cards.describe import describe
from generation.external.encoder import Encoder, parallel_tokenising
from generation.external.fetch_published import PublishedCorpus, fetch_published, find_published, plan_fetch
from generation.external.noise import Noise
from generation.external.prepare import (
    AddConfig,
    AddPlan,
    corpus_folder,
    is_read_from,
    leaves_out_seen,
    prepare,
    refuse_differences,
    reopen,
)
from generation.external.reading import CorpusReader, take_noise
from generation.external.samples import SampleMaker
from generation.external.windows import Cutter
from generation.sources.source import Source
from generation.writing.identity import sampling_of, spec_of
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.shards import CorpusWriter
from generation.writing.splits import budgets, largest_requested, more_than

UNFINISHED: Final = "unfinished"


class TooSmallError(FaithfulError):
    """A source has fewer tokens than were asked for."""


def add(config: AddConfig, report: Reporter = silent) -> CorpusResult:
    """Bring the corpus to the tokens asked for. Running it again completes, extends or does nothing.

    A data set that `faithful publish` made is taken as it was published.

    Takes the memory of the source's longest text, and beside it: one window of documents (4 bytes per token), one shard
    of each split (about 36 bytes per token until it is written) and a piece of text being tokenised, about 100 MB.

    Raises:
        FaithfulError: a source or model that cannot be used, a corpus made otherwise, a busy folder, a source without
            usable text or with fewer tokens than asked for. A folder that held no tokens before then holds nothing, but
            for a connection that broke: the next run goes on.
    """
    check_stated(config)
    published = _publication(config)
    return fetch_published(config, published, report) if published else run_job(_Addition(config), report)


def plan_add(config: AddConfig) -> AddPlan:
    """Look at the source and the folder without writing anything.

    Raises:
        FaithfulError: what `add` would refuse before it starts.
    """
    check_stated(config)
    published = _publication(config)
    if published is not None:
        return plan_fetch(config, published)
    folder, manifest, _, _ = prepare(config)
    there = {split: manifest.tokens(split) for split in SPLITS}
    return AddPlan(folder, manifest, budgets(manifest, config.tokens, config.held_out), there)


def _publication(config: AddConfig) -> PublishedCorpus | None:
    """The publication that is asked for. Where the folder holds what was read from this very name, nobody is asked."""
    folder = corpus_folder(config)
    if (folder / MANIFEST).exists() and is_read_from(config.name, read_manifest(folder)):
        return None
    return find_published(config.name, config.config, config.revision)


class _Addition(CorpusJob):
    """A corpus that grows past its source's end keeps all there is."""

    command = "corpus add"

    def __init__(self, config: AddConfig) -> None:
        self.config = config
        self.is_in_run = not config.out
        self.folder, self.manifest, self.spec, self.source = prepare(config)

    @property
    def wanted(self) -> dict[str, int]:
        return budgets(self.manifest, self.config.tokens, self.config.held_out)

    @property
    def exhausted(self) -> list[str]:
        """Splits that hold all there is."""
        return list(self.manifest.provenance.get("exhausted", []))

    @property
    def source_name(self) -> str:
        return str(self.manifest.provenance["source"]["name"])

    def go_on(self, manifest: Manifest) -> None:
        refuse_differences(self.config, self.folder, manifest)
        self.source = reopen(self.config, self.folder, manifest)
        self.manifest, self.spec = manifest, spec_of(manifest)

    def is_reached(self) -> bool:
        return UNFINISHED not in self.manifest.provenance and all(
            self.manifest.tokens(split) >= tokens or split in self.exhausted for split, tokens in self.wanted.items()
        )

    def is_complete(self) -> bool:
        if not super().is_complete():
            return False
        self._refuse_more_than_there_is()
        return True

    def settle(self, report: Reporter) -> None:
        """Whether an earlier run reached its budget, or all there is, however often a later one was stopped since."""
        unfinished = self.manifest.provenance.get(UNFINISHED)
        self.grows = bool(unfinished["grows"]) if unfinished else bool(self.manifest.shards["train"])

    def keeps(self, error: Exception, was_empty: bool) -> bool:
        """Not a part of a corpus that was empty before, unless a broken connection can be gone on from.

        Of a source that is too small nothing is kept either, however often the first run was stopped.
        """
        if isinstance(error, TooSmallError) and not self.grows:
            return False
        any_rows = any(self.manifest.rows(split) for split in SPLITS)
        return not was_empty or (isinstance(error, ConnectionLostError) and any_rows)

    def write(self, report: Reporter) -> bool:
        source = self.source or reopen(self.config, self.folder, self.manifest)
        manifest, spec, wanted = self.manifest, self.spec, self.wanted
        check_unchanged(spec)
        tokenizer = load_tokenizer(spec.files, spec.hub_revision())
        before = {split: manifest.tokens(split) for split in SPLITS}
        goals = {
            split: before[split] if split in self.exhausted else max(wanted[split], before[split]) for split in SPLITS
        }
        limit = manifest.identity["context"] - 1
        noise = Noise(tokenizer, spec, manifest.identity["seed"], limit) if source.kind == "noise" else None
        manifest.provenance[UNFINISHED] = {"grows": self.grows}
        manifest.requested = largest_requested(manifest, wanted)
        write_manifest(self.folder, manifest)
        writer = CorpusWriter(self.folder, manifest, spec, tokenizer, dict(goals), manifest.identity["shard_rows"])
        with parallel_tokenising():
            if noise:
                take_noise(writer, noise, report)
                ended = False
            else:
                encoder = Encoder(tokenizer, spec, limit)
                cutter = Cutter(encoder, source.unit, held_out=frozenset(source.held_out))
                if source.samples:
                    maker = SampleMaker(spec, tokenizer, encoder, source, sampling_of(manifest))
                    cutter = replace(cutter, of_samples=maker.units)
                if leaves_out_seen(source):
                    cutter = replace(cutter, leaves_out=lambda text: passage_hash(text) in seen_passages())
                ended = CorpusReader(writer, source, cutter, report).run()
        over = (split for split in SPLITS if ended and writer.wants(split))
        manifest.provenance["exhausted"] = sorted({*self.exhausted, *over})
        self._refuse_too_little(source, writer)
        writer.finish()
        del manifest.provenance[UNFINISHED]
        write_manifest(self.folder, manifest)
        return True

    def finish(self, report: Reporter) -> bool:
        return describe(self.folder, report=report)

    def holds(self) -> str:
        held = f"{self.folder} already holds {self.manifest.tokens():,} tokens"
        if not self.config.tokens and "train" in self.exhausted:
            return f"{held}, all that {self.source_name} gives"
        return held + more_than(self.manifest, self.config.tokens)

    def wrote(self) -> str:
        if self.grows:
            self._refuse_more_than_there_is()
        manifest = self.manifest
        note = (
            f"{self.folder} holds {manifest.tokens():,} training tokens in {manifest.rows():,} documents and"
            f" {manifest.tokens('test'):,} held-out tokens."
        )
        if "train" in self.exhausted:
            note += (
                f" That is all that {self.source_name} gives; a budget of {manifest.requested['train']:,} was wanted."
            )
        elif "test" in self.exhausted:
            note += f" {self.source_name} ended before the {manifest.requested['test']:,} held-out tokens wanted."
        left_out = manifest.provenance.get("left_out", {}).get("texts")
        return note + (f" Left out: {_reasons(left_out)}." if left_out else "")

    def _refuse_too_little(self, source: Source, writer: CorpusWriter) -> None:
        """Say why a source that has ended is not enough, unless what it had is all that was asked for."""
        tokens = writer.tokens
        if writer.wants("train"):
            if not sum(tokens.values()):
                texts = self.manifest.provenance["left_out"]["texts"]
                why = f"all its texts are left out ({_reasons(texts)})" if texts else "there are no texts in it"
                raise TooSmallError(f"{source.name} gives no documents: {why}; choose another source.")
            if not tokens["train"]:
                raise TooSmallError(
                    f"{source.name} gives {writer.next_row('test')} documents, and all of them fall into the held-out split;"
                    " choose a larger source."
                )
            if self.config.tokens and not self.grows:
                raise TooSmallError(
                    f"{source.name} gives {tokens['train']:,} training tokens for {self.spec.name}, fewer than the"
                    f" {self.config.tokens:,} asked for; ask for --tokens {tokens['train']} at most. Nothing was written."
                )
        if source.unit == "passage" and "test" in self.exhausted and not tokens["test"] and not self.grows:
            raise TooSmallError(
                f"{source.name} gives {tokens['train']:,} training tokens and nothing to hold out: all passages of a text"
                " fall on one side, and none of its texts on that one. Choose a source of more texts, or give these as files"
                " of a folder, of which at least one is held out. Nothing was written."
            )

    def _refuse_more_than_there_is(self) -> None:
        asked, tokens = self.config.tokens, self.manifest.tokens()
        if asked and asked > tokens and "train" in self.exhausted:
            raise TooSmallError(
                f"{self.folder} holds the {tokens:,} training tokens that {self.source_name} gives, fewer than the"
                f" {asked:,} asked for; ask for --tokens {tokens} at most."
            )


def _reasons(left_out: dict[str, int]) -> str:
    """Counts by reason in words: `12 empty, 3 task`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
