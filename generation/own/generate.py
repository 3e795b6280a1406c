"""`faithful generate`: make, extend or complete the corpus that a model samples from itself."""

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from faithful.base.errors import FaithfulError
from faithful.base.files import append_line, folder_lock, reason_of, remove_temporaries
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated, per_second
from faithful.models.load import check_weights
from faithful.models.spec import ModelSpec, check_unchanged
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document, Manifest, from_table, intact_shards, read_manifest, write_manifest
from faithful.store.places import remember_run
from generation.cards.describe import describe
from generation.configs.generate import GenerateConfig
from generation.own.coordinator import draw_all
from generation.own.forecast import bytes_on_disk, default_workers
from generation.own.prepare import existing_corpus, prepare, refuse_differences, targets
from generation.own.recovery import restore_last_shard
from generation.own.schedule import SplitSchedule
from generation.own.segments import note_repair, open_segment, settle_engine
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Sample
from generation.sampling.seeds import EVAL, TRAIN
from generation.writing.identity import promise, sampling_of, spec_of
from generation.writing.shards import write_documents

DOMAINS = {"train": TRAIN, "test": EVAL}


@dataclass(frozen=True)
class GenerateResult:
    """What `generate` did.

    Attributes:
        folder: the corpus.
        manifest: its manifest.
        changed: whether anything was written.
        note: one sentence.
    """

    folder: Path
    manifest: Manifest
    changed: bool
    note: str


def generate(config: GenerateConfig, report: Reporter = silent) -> GenerateResult:
    """Bring the corpus to the tokens asked for. Running it again completes, extends or does nothing.

    Raises:
        FaithfulError: bad settings, a corpus made otherwise, another engine, no model, no room, a busy folder.
    """
    check_stated(config)
    folder, manifest, spec = prepare(config)
    wanted = targets(config, manifest)
    if manifest.shards["train"] and _complete(folder, manifest, wanted):
        described = describe(folder, config.certify_tokens, report, device=config.device)
        _remember(config, folder)
        return GenerateResult(
            folder, read_manifest(folder), described, _nothing_to_draw(folder, manifest, config, described)
        )
    settings, segment = settle_engine(config, manifest)
    with folder_lock(folder, shared_below=True):
        found = existing_corpus(folder)
        if found is not None and found != manifest:
            refuse_differences(config, folder, found)
            manifest, spec, wanted = found, spec_of(found), targets(config, found)
            settings, segment = settle_engine(config, manifest)
        remove_temporaries(folder)
        changed = _draw(config, folder, manifest, spec, wanted, settings, segment, report)
        _remember(config, folder)
        describe(folder, config.certify_tokens, report, device=config.device)
    manifest = read_manifest(folder)
    tokens = manifest.tokens()
    note = f"{folder} holds {tokens:,} training tokens in {manifest.rows():,} samples"
    return GenerateResult(folder, manifest, changed, note + f" and {manifest.tokens('test'):,} held-out tokens.")


def _complete(folder: Path, manifest: Manifest, wanted: dict[str, int]) -> bool:
    enough = all(manifest.tokens(split) >= tokens for split, tokens in wanted.items())
    return enough and all(all(intact_shards(folder, shards)) for shards in manifest.shards.values())


def _remember(config: GenerateConfig, folder: Path) -> None:
    if not config.out:
        remember_run(folder.parent.parent)


def _nothing_to_draw(folder: Path, manifest: Manifest, config: GenerateConfig, described: bool) -> str:
    tokens = f"{folder} already holds {manifest.tokens():,} tokens"
    if config.tokens and config.tokens < manifest.requested["train"]:
        tokens += f", more than the {config.tokens:,} asked for"
    return f"{tokens}; its description was completed." if described else f"{tokens}: nothing to do."


def _draw(
    config: GenerateConfig,
    folder: Path,
    manifest: Manifest,
    spec: ModelSpec,
    wanted: dict[str, int],
    settings: EngineSettings,
    segment: dict[str, Any] | None,
    report: Reporter,
) -> bool:
    """Draw what is missing under the folder's lock; whether anything was written."""
    began = time.time()
    before = manifest.tokens("train") + manifest.tokens("test")
    check_unchanged(spec)
    if settings.name == "vllm":
        check_weights(spec)
    _refuse_full_disk(folder, sum(wanted.values()) - before, spec)
    if segment:
        open_segment(manifest, segment)
    keep_bytes = promise(settings) == "bytes" and len(manifest.segments) == 1
    manifest.requested = {split: _requested(manifest, split, tokens) for split, tokens in wanted.items()}
    write_manifest(folder, manifest)
    restored = [restore_last_shard(folder, split, manifest.shards[split], spec.vocab_size) for split in manifest.shards]
    drawn = False
    while schedules := _schedules(folder, manifest, settings, wanted, keep_bytes):
        tokenizer = load_tokenizer(spec.source, spec.hub_revision())
        commit = _Commit(folder, manifest, spec, tokenizer, schedules, keep_bytes)
        workers = config.workers or default_workers(
            spec, settings, sum(wanted.values()) - before, sampling_of(manifest).max_tokens
        )
        draw_all(schedules, spec, sampling_of(manifest), settings, workers, commit, report)
        drawn = True
    if drawn:
        tokens = manifest.tokens("train") + manifest.tokens("test") - before
        _log(folder, began, tokens, config.workers)
    return drawn or any(restored)


def _requested(manifest: Manifest, split: str, wanted: int) -> int:
    """The largest budget that the split reached or is to reach."""
    before = manifest.requested[split]
    return max(wanted, before) if manifest.tokens(split) >= before else wanted


def _log(folder: Path, began: float, tokens: int, workers: int | None) -> None:
    """Note what varies from run to run; a log that cannot be written must not spoil a corpus that is finished."""
    seconds = time.time() - began
    with contextlib.suppress(FaithfulError):
        append_line(
            folder / "log.jsonl",
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
                "command": "generate",
                "tokens": tokens,
                "seconds": round(seconds, 2),
                "tokens_per_second": per_second(tokens, seconds),
                "workers": workers or "default",
            },
        )


def _schedules(
    folder: Path, manifest: Manifest, settings: EngineSettings, wanted: dict[str, int], keep_bytes: bool
) -> list[SplitSchedule]:
    """The open work of each split that has any: repairs first, growth once every shard is intact."""
    schedules = []
    for split, domain in DOMAINS.items():
        shards = manifest.shards[split]
        intact = intact_shards(folder, shards)
        kept: list[Document] = []
        if shards and intact[-1] and not keep_bytes:
            kept = _read_documents(folder / shards[-1].file)
        mean = manifest.tokens(split) / manifest.rows(split) if shards else _expected_length(sampling_of(manifest))
        damaged = [number for number, whole in enumerate(intact) if not whole]
        seed = manifest.identity["seed"]
        schedules.append(SplitSchedule(split, domain, seed, wanted[split], settings, shards, damaged, kept, mean))
    return [schedule for schedule in schedules if not schedule.done]


def _read_documents(path: Path) -> list[Document]:
    try:
        return from_table(pq.read_table(path))
    except (OSError, pa.ArrowException) as error:
        raise FaithfulError(f"Cannot read {path}, which is whole: {error}; mend the disk, then run again.") from error


class _Commit:
    """Writes whole shards and notes them in the manifest and in their schedule."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        spec: ModelSpec,
        tokenizer: Any,
        schedules: list[SplitSchedule],
        keep_bytes: bool,
    ) -> None:
        self.folder, self.manifest, self.spec, self.tokenizer = folder, manifest, spec, tokenizer
        self.schedules = {schedule.split: schedule for schedule in schedules}
        self.keep_bytes = keep_bytes

    def __call__(self, split: str, number: int, samples: list[Sample]) -> None:
        schedule = self.schedules[split]
        documents = [
            Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p or None, s.logprob_q) for s in samples
        ]
        shard = write_documents(self.folder, split, number, documents, self.spec, self.tokenizer)
        if self.keep_bytes and number in schedule.repairs and schedule.shards[number].sha256 != shard.sha256:
            raise FaithfulError(
                f"{self.folder / shard.file} was made again and differs from its checksum: this machine does not repeat"
                " the corpus. Go on with --accept-engine-change, or restore the file from a backup."
            )
        if number in schedule.repairs:
            note_repair(self.manifest, split, shard)
        schedule.commit(number, shard)
        self.manifest.shards[split] = list(schedule.shards)
        self.manifest.certificate = self.manifest.statistics = None
        write_manifest(self.folder, self.manifest)


def _expected_length(sampling: Sampling) -> float:
    return sampling.max_tokens if sampling.mode == "streams" else 0.6 * sampling.max_tokens


def _refuse_full_disk(folder: Path, tokens: int, spec: ModelSpec) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FaithfulError(f"Cannot look at {folder}: {reason_of(error)}; choose another --out.") from error
    needed = bytes_on_disk(max(tokens, 0), spec.vocab_size)
    if needed > free:
        raise FaithfulError(
            f"The corpus needs about {needed / 2**30:.1f} GiB and {folder} has {free / 2**30:.1f} GiB free; free space or"
            " choose another --out."
        )
