"""`faithful generate`: make, extend or complete the corpus that a model samples from itself."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from faithful.corpus import (
    MANIFEST,
    Document,
    Manifest,
    from_table,
    intact_shards,
    read_manifest,
    write_manifest,
)
from faithful.errors import FaithfulError
from faithful.files import append_line, folder_lock, remove_temporaries
from faithful.model import ModelSpec, check_unchanged, load_tokenizer
from faithful.runs import remember_run
from generation.coordinator import draw_all
from generation.describe import describe
from generation.engine import EngineSettings, Sample, choose_engine, has_cuda
from generation.identity import (
    check_engine,
    engine_identity,
    sampling_of,
    settings_from,
)
from generation.plan import bytes_on_disk, default_workers
from generation.prepare import GenerateConfig, prepare, targets
from generation.progress import Reporter, silent
from generation.sampling import Sampling
from generation.schedule import SplitSchedule
from generation.seeds import EVAL, TRAIN
from generation.shards import write_documents

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
    folder, manifest, spec = prepare(config)
    wanted = targets(config, manifest)
    if manifest.shards["train"] and _complete(folder, manifest, wanted):
        described = describe(folder, config.certify_tokens, report, device=config.device)
        _remember(config, folder)
        return GenerateResult(
            folder, read_manifest(folder), described, _nothing_to_draw(folder, manifest, config, described)
        )
    with folder_lock(folder):
        if (folder / MANIFEST).exists():
            manifest = read_manifest(folder)
            wanted = targets(config, manifest)
        remove_temporaries(folder)
        manifest.requested = wanted
        changed = _draw(config, folder, manifest, spec, wanted, report)
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
    report: Reporter,
) -> bool:
    """Draw what is missing under the folder's lock; whether anything was."""
    began = time.time()
    before = manifest.tokens("train") + manifest.tokens("test")
    recorded = manifest.segments[-1]["engine"]
    settings = settings_from(recorded)
    if config.accept_engine_change:
        device = config.device or ("cuda" if has_cuda() else "cpu")
        name = config.engine or (settings.name if device == settings.device else "auto")
        settings = replace(settings, device=device, name=choose_engine(name, device))
    same_engine = check_engine(recorded, engine_identity(settings), config.accept_engine_change)
    same_engine = same_engine and not config.accept_engine_change
    keep_bytes = same_engine and settings.deterministic and len(manifest.segments) == 1
    if not same_engine:
        manifest.segments.append(
            {"train": manifest.rows("train"), "test": manifest.rows("test"), "engine": engine_identity(settings)}
        )
    choose_engine(settings.name, settings.device)
    check_unchanged(spec)
    _refuse_full_disk(folder, sum(wanted.values()) - before, spec)
    write_manifest(folder, manifest)
    changed = False
    while schedules := _schedules(folder, manifest, settings, wanted, keep_bytes):
        tokenizer = load_tokenizer(spec.source, spec.hub_revision())
        commit = _Commit(folder, manifest, spec, tokenizer, schedules, keep_bytes)
        workers = config.workers or default_workers(
            spec, settings, sum(wanted.values()) - before, sampling_of(manifest).max_tokens
        )
        draw_all(schedules, spec, sampling_of(manifest), settings, workers, commit, report)
        changed = True
    if not changed:
        return False
    seconds = time.time() - began
    drawn = manifest.tokens("train") + manifest.tokens("test") - before
    append_line(
        folder / "log.jsonl",
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
            "command": "generate",
            "tokens": drawn,
            "seconds": round(seconds, 2),
            "tokens_per_second": round(drawn / seconds, 1),
            "workers": config.workers or "default",
        },
    )
    return True


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
            kept = from_table(pq.read_table(folder / shards[-1].file))
        mean = manifest.tokens(split) / manifest.rows(split) if shards else _expected_length(sampling_of(manifest))
        damaged = [number for number, whole in enumerate(intact) if not whole]
        seed = manifest.identity["seed"]
        schedules.append(SplitSchedule(split, domain, seed, wanted[split], settings, shards, damaged, kept, mean))
    return [schedule for schedule in schedules if not schedule.done]


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
        schedule.commit(number, shard)
        self.manifest.shards[split] = list(schedule.shards)
        self.manifest.certificate = self.manifest.statistics = None
        write_manifest(self.folder, self.manifest)


def _expected_length(sampling: Sampling) -> float:
    return sampling.max_tokens if sampling.mode == "streams" else 0.6 * sampling.max_tokens


def _refuse_full_disk(folder: Path, tokens: int, spec: ModelSpec) -> None:
    free = shutil.disk_usage(folder).free
    needed = bytes_on_disk(max(tokens, 0), spec.vocab_size)
    if needed > free:
        raise FaithfulError(
            f"The corpus needs about {needed / 2**30:.1f} GiB and {folder} has {free / 2**30:.1f} GiB free; free space or"
            " choose another --out."
        )
