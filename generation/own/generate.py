"""`faithful generate`: make, extend or complete the corpus that a model samples from itself."""

import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from faithful.base.errors import FaithfulError
from faithful.base.files import reason_of
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.executor.where import current_place
from faithful.models.load import check_weights
from faithful.models.spec import ModelSpec, check_unchanged
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document, Manifest, from_table, intact_shards, write_manifest
from faithful.store.shard_files import EncodedShard
from generation.cards.describe import describe
from generation.configs.generate import GenerateConfig
from generation.own.coordinator import draw_all
from generation.own.forecast import bytes_on_disk, default_workers
from generation.own.part import PartWish
from generation.own.prepare import corpus_to_go_on_with, prepare, refuse_differences
from generation.own.recovery import restore_last_shard
from generation.own.schedule import SplitSchedule
from generation.own.segments import note_repair, open_segment, settle_engine
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.sampling.seeds import EVAL, TRAIN
from generation.writing.identity import promise, sampling_of, settings_from, spec_of
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.shards import encode_documents
from generation.writing.splits import budgets, largest_requested, more_than

DOMAINS = {"train": TRAIN, "test": EVAL}


def generate(config: GenerateConfig, report: Reporter = silent, part: PartWish | None = None) -> CorpusResult:
    """Bring the corpus, or a part of it, to the tokens asked for. Running it again completes, extends or does nothing.

    Raises:
        FaithfulError: bad settings, a corpus made otherwise, another engine, no model, no room, a busy folder.
    """
    check_stated(config)
    return run_job(_Generation(config, part), report)


class _Generation(CorpusJob):
    command = "generate"

    def __init__(self, config: GenerateConfig, part: PartWish | None) -> None:
        self.config, self.part = config, part
        self.is_in_run = not config.out
        self.folder, self.manifest, self.spec = prepare(config, part)

    @property
    def wanted(self) -> dict[str, int]:
        return budgets(self.manifest, self.config.tokens, self.config.held_out)

    def existing(self) -> Manifest | None:
        return corpus_to_go_on_with(self.folder, self.part)

    def go_on(self, manifest: Manifest) -> None:
        refuse_differences(self.config, self.folder, manifest)
        self.manifest, self.spec = manifest, spec_of(manifest)

    def is_reached(self) -> bool:
        if self.part:
            return not self._open(settings_from(self.manifest.segments[-1]["engine"]), keep_bytes=True)
        return all(self.manifest.tokens(split) >= tokens for split, tokens in self.wanted.items())

    def settle(self, report: Reporter) -> None:
        self.settings, self.segment = settle_engine(self.config, self.manifest)

    def keeps(self, error: Exception, was_empty: bool) -> bool:
        return True

    def write(self, report: Reporter) -> bool:
        manifest, spec, settings, wanted = self.manifest, self.spec, self.settings, self.wanted
        of = self.part.place.of if self.part else 1
        missing = sum(wanted.values()) // of - manifest.tokens("train") - manifest.tokens("test")
        check_unchanged(spec)
        if settings.name == "vllm":
            check_weights(spec)
        _refuse_full_disk(self.folder, missing, spec)
        if self.segment:
            open_segment(manifest, self.segment)
        self.keep_bytes = promise(settings) == "bytes" and len(manifest.segments) == 1
        manifest.requested = largest_requested(manifest, wanted)
        write_manifest(self.folder, manifest)
        changed = False
        for split, shards in manifest.shards.items() if not self.part else ():
            changed |= restore_last_shard(self.folder, split, shards, spec.vocab_size)
        while schedules := self._open(settings, self.keep_bytes):
            self.schedules = {schedule.split: schedule for schedule in schedules}
            self.tokenizer = load_tokenizer(spec.files, spec.hub_revision())
            longest = sampling_of(manifest).max_tokens
            workers = self.config.workers or default_workers(spec, settings, missing, longest)
            draw_all(schedules, spec, sampling_of(manifest), settings, workers, self.commit, report)
            changed = True
        return changed

    def commit(self, split: str, place: int, made: EncodedShard, rows: int) -> None:
        """Write the first rows of a shard and note it in the manifest and in its schedule."""
        schedule = self.schedules[split]
        if rows < made.shard.rows:  # the tokens wanted end inside it, which nobody knew when it was made
            documents = from_table(pq.read_table(io.BytesIO(made.content)))[:rows]
            made = encode_documents(split, schedule.shard_number(place), documents, self.spec, self.tokenizer)
        if self.keep_bytes and place in schedule.repairs and schedule.shards[place].sha256 != made.shard.sha256:
            raise FaithfulError(
                f"{self.folder / made.shard.file} was made again and differs from its checksum: this machine does not repeat"
                " the corpus. Go on with --accept-engine-change, or restore the file from a backup."
            )
        shard = made.write(self.folder)
        if place in schedule.repairs:
            note_repair(self.manifest, split, shard)
        schedule.commit(place, shard)
        self.manifest.shards[split] = list(schedule.shards)
        self.manifest.certificate = self.manifest.statistics = None
        write_manifest(self.folder, self.manifest)

    def _open(self, settings: EngineSettings, keep_bytes: bool) -> list[SplitSchedule]:
        """The open work of each split that has any: repairs first, growth once every shard is intact.

        A part draws its held-out samples last, for which those of the training split say how many they are.
        """
        manifest, found = self.manifest, list[SplitSchedule]()
        for split, domain in DOMAINS.items():
            shards = manifest.shards[split]
            intact = intact_shards(self.folder, shards)
            kept: list[Document] = []
            if shards and intact[-1] and shards[-1].rows < settings.shard_rows and not keep_bytes:
                kept = _read_documents(self.folder / shards[-1].file)
            mean = manifest.tokens(split) / manifest.rows(split) if shards else _expected_length(sampling_of(manifest))
            damaged = [number for number, whole in enumerate(intact) if not whole]
            common = (settings, shards, damaged, kept, mean)
            seed, wanted = manifest.identity["seed"], self.wanted[split]
            if self.part and not found:
                found.append(self.part.schedule(manifest, split, wanted, domain, seed, *common))
            elif not self.part:
                found.append(SplitSchedule(split, domain, seed, wanted, *common))
            found = [schedule for schedule in found if not schedule.done]
        return found

    def finish(self, report: Reporter) -> bool:
        # What is drawn elsewhere is scored here, on what this machine has.
        device = self.config.device if current_place().is_here else None
        return not self.part and describe(self.folder, self.config.certify_tokens, report, device=device)

    def log_entry(self) -> dict[str, object]:
        return {"workers": self.config.workers or "default"}

    def holds(self) -> str:
        return f"{self.folder} already holds {self.manifest.tokens():,} tokens" + more_than(
            self.manifest, self.config.tokens
        )

    def wrote(self) -> str:
        manifest = self.manifest
        if self.part:
            return (
                f"{self.folder} holds part {self.part.place}: {len(manifest.shards['train'])} training shards of"
                f" {manifest.tokens():,} tokens, and {len(manifest.shards['test'])} held-out ones."
            )
        return (
            f"{self.folder} holds {manifest.tokens():,} training tokens in {manifest.rows():,} samples and"
            f" {manifest.tokens('test'):,} held-out tokens."
        )


def _read_documents(path: Path) -> list[Document]:
    try:
        return from_table(pq.read_table(path))
    except (OSError, pa.ArrowException) as error:
        raise FaithfulError(f"Cannot read {path}, which is whole: {error}; mend the disk, then run again.") from error


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
