"""`faithful corpus add`: bring a comparison corpus in, on the terms of a sampled one."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import append_line, folder_lock, remove_temporaries
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated, per_second
from faithful.embedded.stdlib_seen import passage_hash, seen_passages
from faithful.hub.errors import ConnectionLostError
from faithful.models.spec import ModelSpec, check_unchanged
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import MANIFEST, SPLITS, Manifest, intact_shards, read_manifest, write_manifest
from faithful.store.places import remember_run
from generation.cards.describe import describe
from generation.external.adopt import PublishedCorpus, adopt, find_published, plan_adopt
from generation.external.encoder import Encoder, parallel_tokenising
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
    targets,
)
from generation.external.reading import Reading, take_noise
from generation.external.windows import Cutter
from generation.sources.source import Source
from generation.writing.identity import spec_of
from generation.writing.shards import CorpusWriter

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class AddResult:
    """What `add` did.

    Attributes:
        folder: the corpus.
        manifest: its manifest.
        changed: whether anything was written.
        note: what there is now, in a few sentences.
    """

    folder: Path
    manifest: Manifest
    changed: bool
    note: str


def add(config: AddConfig, report: Reporter = silent) -> AddResult:
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
    if published is not None:
        adopted = adopt(config, published, report)
        return AddResult(adopted.folder, adopted.manifest, adopted.changed, adopted.note)
    folder, manifest, spec, source = prepare(config)
    wanted = targets(config, manifest)
    if manifest.shards["train"] and _complete(folder, manifest, wanted):
        return _already_there(config, folder, manifest, report)
    is_new = not folder.exists()
    with folder_lock(folder, shared_below=True):
        if (folder / MANIFEST).exists() and (found := read_manifest(folder)) != manifest:
            refuse_differences(config, folder, found)
            source = reopen(config, folder, found)
            manifest, spec, wanted = found, spec_of(found), targets(config, found)
            if manifest.shards["train"] and _complete(folder, manifest, wanted):
                return _already_there(config, folder, manifest, report)
        remove_temporaries(folder)
        grows = _grows(manifest)
        with _nothing_half_written(folder, manifest, is_new, grows=grows):
            source = source or reopen(config, folder, manifest)
            _take(config, folder, manifest, spec, source, wanted, report)
        _remember(config, folder)
        describe(folder, report=report)
    manifest = read_manifest(folder)
    if grows:
        _refuse_more_than_there_is(config, folder, manifest)
    return AddResult(folder, manifest, True, _note(folder, manifest))


def plan_add(config: AddConfig) -> AddPlan:
    """Look at the source and the folder without writing anything.

    Raises:
        FaithfulError: what `add` would refuse before it starts.
    """
    check_stated(config)
    published = _publication(config)
    if published is not None:
        return plan_adopt(config, published)
    folder, manifest, _, _ = prepare(config)
    return AddPlan(folder, manifest, targets(config, manifest), {split: manifest.tokens(split) for split in SPLITS})


def _publication(config: AddConfig) -> PublishedCorpus | None:
    """The publication that is asked for. Where the folder holds what was read from this very name, nobody is asked."""
    folder = corpus_folder(config)
    if (folder / MANIFEST).exists() and is_read_from(config.name, read_manifest(folder)):
        return None
    return find_published(config.name, config.config, config.revision)


class TooSmallError(FaithfulError):
    """A source has fewer tokens than were asked for."""


def _already_there(config: AddConfig, folder: Path, manifest: Manifest, report: Reporter) -> AddResult:
    """What is asked for is there; a description that is missing is made."""
    _refuse_more_than_there_is(config, folder, manifest)
    described = describe(folder, report=report)
    _remember(config, folder)
    return AddResult(folder, read_manifest(folder), described, _nothing_to_add(folder, manifest, config, described))


def _take(
    config: AddConfig,
    folder: Path,
    manifest: Manifest,
    spec: ModelSpec,
    source: Source,
    wanted: dict[str, int],
    report: Reporter,
) -> None:
    """Take what is missing, under the folder's lock. A corpus that grows past its source's end keeps all there is."""
    began = time.time()
    check_unchanged(spec)
    tokenizer = load_tokenizer(spec.source, spec.hub_revision())
    before = {split: manifest.tokens(split) for split in SPLITS}
    known_end = manifest.provenance.get("exhausted", [])
    goals = {split: before[split] if split in known_end else max(wanted[split], before[split]) for split in SPLITS}
    limit = manifest.identity["context"] - 1
    noise = Noise(tokenizer, spec, manifest.identity["seed"], limit) if source.kind == "noise" else None
    grows = _grows(manifest)
    manifest.provenance[UNFINISHED] = {"grows": grows}
    manifest.requested = {split: _requested(manifest, split, wanted[split]) for split in SPLITS}
    write_manifest(folder, manifest)
    writer = CorpusWriter(folder, manifest, spec, tokenizer, dict(goals), manifest.identity["shard_rows"])
    with parallel_tokenising():
        if noise:
            take_noise(writer, noise, report)
            ended = False
        else:
            cutter = Cutter(Encoder(tokenizer, spec, limit), source.unit, held_out=frozenset(source.held_out))
            if leaves_out_seen(source):
                cutter = replace(cutter, leaves_out=lambda text: passage_hash(text) in seen_passages())
            ended = Reading(writer, source, cutter, report).run()
    exhausted = {
        *manifest.provenance.get("exhausted", []),
        *(split for split in SPLITS if ended and writer.wants(split)),
    }
    manifest.provenance["exhausted"] = sorted(exhausted)
    if writer.wants("train"):
        _refuse_too_little(config, spec, source, writer, grows=grows)
    if source.unit == "passage" and "test" in exhausted and not writer.tokens["test"] and not grows:
        raise TooSmallError(
            f"{source.name} gives {writer.tokens['train']:,} training tokens and nothing to hold out: all passages of a text"
            " fall on one side, and none of its texts on that one. Choose a source of more texts, or give these as files of"
            " a folder, of which at least one is held out. Nothing was written."
        )
    writer.finish()
    del manifest.provenance[UNFINISHED]
    write_manifest(folder, manifest)
    seconds, tokens = time.time() - began, sum(manifest.tokens(split) - before[split] for split in SPLITS)
    with contextlib.suppress(FaithfulError):  # a log that cannot be written must not spoil a corpus that is finished
        append_line(
            folder / "log.jsonl",
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
                "command": "corpus add",
                "tokens": tokens,
                "seconds": round(seconds, 2),
                "tokens_per_second": per_second(tokens, seconds),
            },
        )


def _requested(manifest: Manifest, split: str, wanted: int) -> int:
    """The largest budget that the split reached or is to reach."""
    before = manifest.requested[split]
    return max(wanted, before) if manifest.tokens(split) >= before else wanted


def _grows(manifest: Manifest) -> bool:
    """Whether an earlier run reached its budget, or all there is, however often a later one was stopped since."""
    unfinished = manifest.provenance.get(UNFINISHED)
    return bool(unfinished["grows"]) if unfinished else bool(manifest.shards["train"])


def _complete(folder: Path, manifest: Manifest, wanted: dict[str, int]) -> bool:
    if UNFINISHED in manifest.provenance:
        return False
    exhausted = manifest.provenance.get("exhausted", [])
    enough = all(manifest.tokens(split) >= tokens or split in exhausted for split, tokens in wanted.items())
    return enough and all(all(intact_shards(folder, shards)) for shards in manifest.shards.values())


@contextmanager
def _nothing_half_written(folder: Path, manifest: Manifest, is_new: bool, *, grows: bool) -> Iterator[None]:
    """On an error leave no part of a corpus that was empty before, unless a broken connection can be gone on from.

    Of a source that is too small nothing is left either, however often the first run was stopped.
    """
    was_empty = not manifest.rows("train") and not manifest.rows("test")
    try:
        yield
    except Exception as error:
        resumable = isinstance(error, ConnectionLostError) and manifest.rows("train") + manifest.rows("test")
        if (was_empty and not resumable) or (isinstance(error, TooSmallError) and not grows):
            for part in SPLITS.values():
                shutil.rmtree(folder / part, ignore_errors=True)
            for name in (MANIFEST, *([".lock"] if is_new else [])):
                (folder / name).unlink(missing_ok=True)
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


def _refuse_too_little(
    config: AddConfig, spec: ModelSpec, source: Source, writer: CorpusWriter, *, grows: bool
) -> None:
    """Say why a source that has ended is not enough, unless what it had is all that was asked for."""
    tokens = writer.tokens
    if not sum(tokens.values()):
        texts = writer.manifest.provenance["left_out"]["texts"]
        why = f"all its texts are left out ({_reasons(texts)})" if texts else "there are no texts in it"
        raise TooSmallError(f"{source.name} gives no documents: {why}; choose another source.")
    if not tokens["train"]:
        raise TooSmallError(
            f"{source.name} gives {writer.next_row('test')} documents, and all of them fall into the held-out split; choose a"
            " larger source."
        )
    if config.tokens and not grows:
        raise TooSmallError(
            f"{source.name} gives {tokens['train']:,} training tokens for {spec.name}, fewer than the {config.tokens:,} asked"
            f" for; ask for --tokens {tokens['train']} at most. Nothing was written."
        )


def _refuse_more_than_there_is(config: AddConfig, folder: Path, manifest: Manifest) -> None:
    tokens = manifest.tokens()
    if config.tokens and config.tokens > tokens and "train" in manifest.provenance.get("exhausted", []):
        raise TooSmallError(
            f"{folder} holds the {tokens:,} training tokens that {manifest.provenance['source']['name']} gives, fewer than"
            f" the {config.tokens:,} asked for; ask for --tokens {tokens} at most."
        )


def _remember(config: AddConfig, folder: Path) -> None:
    if not config.out:
        remember_run(folder.parent.parent)


def _nothing_to_add(folder: Path, manifest: Manifest, config: AddConfig, described: bool) -> str:
    tokens = f"{folder} already holds {manifest.tokens():,} tokens"
    if config.tokens and config.tokens < manifest.requested["train"]:
        tokens += f", more than the {config.tokens:,} asked for"
    elif not config.tokens and "train" in manifest.provenance.get("exhausted", []):
        tokens += f", all that {manifest.provenance['source']['name']} gives"
    return f"{tokens}; its description was completed." if described else f"{tokens}: nothing to do."


def _note(folder: Path, manifest: Manifest) -> str:
    name, exhausted = manifest.provenance["source"]["name"], manifest.provenance.get("exhausted", [])
    note = (
        f"{folder} holds {manifest.tokens():,} training tokens in {manifest.rows():,} documents and"
        f" {manifest.tokens('test'):,} held-out tokens."
    )
    if "train" in exhausted:
        note += f" That is all that {name} gives; a budget of {manifest.requested['train']:,} was wanted."
    elif "test" in exhausted:
        note += f" {name} ended before the {manifest.requested['test']:,} held-out tokens wanted."
    left_out = manifest.provenance.get("left_out", {}).get("texts")
    return note + (f" Left out: {_reasons(left_out)}." if left_out else "")


def _reasons(left_out: dict[str, int]) -> str:
    """Counts by reason in words: `12 empty, 3 task`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
