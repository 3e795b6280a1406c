"""`faithful generate`: make, extend or complete the corpus that a model samples from itself."""

import shutil
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from faithful.catalog import DEFAULT_CONTEXT, DEFAULT_TOKENS, Shape, find_preset
from faithful.corpus import (
    MANIFEST,
    Document,
    Manifest,
    from_table,
    intact_shards,
    read_manifest,
    to_table,
    write_manifest,
    write_shard,
)
from faithful.errors import FaithfulError
from faithful.files import append_line, folder_lock, remove_temporaries
from faithful.model import ModelSpec, load_tokenizer, resolve_model, shape_of
from faithful.runs import remember_run, run_folder, run_name
from generation.coordinator import draw_all
from generation.describe import describe
from generation.engine import EngineSettings, Sample, choose_engine, has_cuda
from generation.identity import (
    check_engine,
    corpus_identity,
    differences,
    engine_identity,
    sampling_of,
    settings_from,
    spec_of,
)
from generation.plan import bytes_on_disk, default_workers, device_memory, test_tokens, worker_memory
from generation.progress import Reporter, silent
from generation.sampling import Sampling
from generation.schedule import SplitSchedule
from generation.seeds import EVAL, TRAIN
from generation.statistics import shard_statistics, without_closing

DOMAINS = {"train": TRAIN, "test": EVAL}
SAMPLING_OPTIONS = tuple(field.name for field in fields(Sampling))


@dataclass(frozen=True)
class GenerateConfig:
    """What the user stated; None is left to the existing corpus, the preset or the defaults.

    Attributes:
        model: preset name, Hub id or folder; the embedded `tiny` when nothing says otherwise.
        tokens: training tokens wanted (the corpus may hold more, never fewer).
        held_out: tokens of the split `test`; by default 5 % of the training tokens, 20k to 2M.
        out: corpus folder; by default `runs/MODEL/corpora/own…`.
        run: run folder or name to put it in instead of the model's.
        seed: run seed, default 0.
        temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, mode, mask_unmapped, greedy: see `Sampling`.
        revision: Hub revision of the model.
        dtype: type the model runs in.
        bos: start token id.
        engine: `auto`, `vllm` or `transformers`.
        device: `cpu` or `cuda`; by default what the machine has.
        threads: CPU threads per worker.
        batch: samples in flight per worker.
        shard_rows: samples per shard.
        deterministic: drain the engine at each shard's border and promise bytes where it can.
        workers: processes; default one per GPU, or per core as memory allows.
        accept_engine_change: go on with another engine or version than the corpus was made with.
        certify_tokens: about how many tokens to certify at the end; 0 skips it, None is `certify`'s default.
    """

    model: str | None = None
    tokens: int | None = None
    held_out: int | None = None
    out: Path | None = None
    run: str | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    mode: str | None = None
    mask_unmapped: bool | None = None
    greedy: bool | None = None
    revision: str | None = None
    dtype: str | None = None
    bos: int | None = None
    engine: str | None = None
    device: str | None = None
    threads: int | None = None
    batch: int | None = None
    shard_rows: int | None = None
    deterministic: bool | None = None
    workers: int | None = None
    accept_engine_change: bool = False
    certify_tokens: int | None = None

    def sampling_changes(self) -> dict[str, Any]:
        """The sampling fields that were stated."""
        return {name: getattr(self, name) for name in SAMPLING_OPTIONS if getattr(self, name) is not None}


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


def default_max_tokens(model: str, positions: int | None = None) -> int:
    """Longest sample by default: the preset's context − 1, else min(512, the model's context) − 1."""
    preset = find_preset(model)
    if preset:
        return preset.context - 1
    return min(DEFAULT_CONTEXT, positions or DEFAULT_CONTEXT) - 1


def corpus_folder(config: GenerateConfig, positions: int | None = None) -> Path:
    """Folder of the corpus: `--out`, else `runs/MODEL/corpora/own` with what its sampling changes in the name."""
    if config.out:
        return config.out
    model = config.model or "tiny"
    longest = default_max_tokens(model, positions)
    sampling = Sampling(max_tokens=longest).with_changes(**config.sampling_changes())
    name = "own" + sampling.suffix(longest) + (f"-s{config.seed}" if config.seed else "")
    run = run_folder(config.run) if config.run else run_folder(run_name(model))
    return run / "corpora" / name


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


def prepare(config: GenerateConfig) -> tuple[Path, Manifest, ModelSpec]:
    """Resolve everything before work starts: folder, manifest (existing or new) and model.

    On an existing corpus only what is stated is compared, and the network is not asked.
    """
    spec: ModelSpec | None = None
    positions = None
    if config.out is None and config.model and find_preset(config.model) is None:
        spec = _resolve(config)
        positions = spec.positions
    folder = corpus_folder(config, positions)
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        _refuse_differences(config, folder, manifest)
        return folder, manifest, spec_of(manifest)
    _refuse_foreign_folder(folder)
    spec = spec or _resolve(config)
    sampling = stated_sampling(config, spec.name, spec.positions)
    if sampling.mode == "documents" and not spec.eos_ids:
        raise FaithfulError(f"{spec.name} has no end-of-text token, so documents never end; use --mode streams.")
    engine = engine_identity(engine_settings(config, shape_of(spec), spec.dtype, sampling.max_tokens))
    manifest = Manifest(
        name=folder.resolve().name,
        kind="own",
        identity=corpus_identity(spec, sampling, config.seed or 0, engine),
        provenance={"model": _provenance(spec), "generation_config_not_applied": spec.generation_config},
        requested={"train": 0, "test": 0},
        segments=[{"train": 0, "test": 0, "engine": engine}],
    )
    return folder, manifest, spec


def engine_settings(config: GenerateConfig, shape: Shape, dtype: str, max_tokens: int) -> EngineSettings:
    """Engine settings for a new corpus on this machine: one thread per worker on a CPU, so that bytes can be promised.

    The transformers engine's batch is halved until its key-value buffers fit beside the weights; vLLM manages its own.
    """
    device = config.device or ("cuda" if has_cuda() else "cpu")
    if device not in ("cpu", "cuda"):
        raise FaithfulError(f"'{device}' is not a device; choose cpu or cuda.")
    name = choose_engine(config.engine or "auto", device)
    on_cpu = device == "cpu"
    deterministic = config.deterministic if config.deterministic is not None else on_cpu and name == "transformers"
    slots = config.batch if config.batch is not None else (64 if on_cpu and name == "transformers" else 256)
    shard_rows = config.shard_rows if config.shard_rows is not None else (512 if on_cpu else 4096)
    threads = config.threads if config.threads is not None else 1
    workers = config.workers if config.workers is not None else 1
    if min(slots, shard_rows, threads, workers) < 1:
        raise FaithfulError("--batch, --shard-rows, --threads and --workers must be at least 1.")
    settings = EngineSettings(name, device, threads, slots, shard_rows, deterministic)
    if config.batch or name == "vllm":
        return settings
    memory = device_memory(device)
    while settings.slots > 1 and worker_memory(shape, dtype, settings, max_tokens + 1) > 0.85 * memory:
        settings = replace(settings, slots=settings.slots // 2)
    return settings


def stated_sampling(config: GenerateConfig, model: str, positions: int) -> Sampling:
    """The sampling of a new corpus: what was stated on top of the model's defaults.

    Raises:
        FaithfulError: a setting is out of range, or a sample with its BOS would not fit the model's context.
    """
    sampling = Sampling(max_tokens=default_max_tokens(model, positions)).with_changes(**config.sampling_changes())
    if sampling.max_tokens > positions - 1:
        raise FaithfulError(
            f"--max-tokens {sampling.max_tokens} does not fit: {model} has a context of {positions} tokens, BOS included;"
            f" use at most {positions - 1}."
        )
    return sampling


def targets(config: GenerateConfig, manifest: Manifest) -> dict[str, int]:
    """Tokens to reach per split: what is asked for, but never less than was asked for before.

    The held-out budget follows the training budget by rule unless it was stated.
    """
    preset = find_preset(manifest.identity["model"]["name"])
    before = manifest.requested
    train = max(config.tokens or before["train"] or (preset.tokens if preset else DEFAULT_TOKENS), before["train"])
    by_rule = before["test"] in (0, test_tokens(before["train"]))
    held_out = config.held_out or (test_tokens(train) if by_rule else before["test"])
    return {"train": train, "test": max(held_out, before["test"])}


def decode(tokenizer: Any, bodies: list[list[int]], mapped: int) -> list[str]:
    """Texts of token ids: special tokens kept, ids without a string left out."""
    known = [[token for token in body if token < mapped] for body in bodies]
    return tokenizer.batch_decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _resolve(config: GenerateConfig) -> ModelSpec:
    device = config.device or ("cuda" if has_cuda() else "cpu")
    return resolve_model(
        config.model or "tiny", revision=config.revision, dtype=config.dtype, bos=config.bos, device=device
    )


def _provenance(spec: ModelSpec) -> dict[str, Any]:
    """What is known of the model beyond its identity. A preset's own path is left out: it differs between machines."""
    values = asdict(spec)
    if find_preset(spec.name):
        values["source"] = spec.name
    return {name: value for name, value in values.items() if name not in ("eos_ids",)}


def _refuse_differences(config: GenerateConfig, folder: Path, manifest: Manifest) -> None:
    if manifest.kind != "own":
        raise FaithfulError(f"{folder} is no corpus sampled from a model; choose another --out.")
    identity = manifest.identity
    recorded = {
        **identity["sampling"],
        "seed": identity["seed"],
        "dtype": identity["model"]["dtype"],
        "bos": identity["model"]["bos_id"],
        "engine": identity["engine"]["name"],
        "threads": identity["engine"]["threads"],
        "batch": identity["engine"]["slots"],
        "shard_rows": identity["engine"]["shard_rows"],
        "deterministic": identity["engine"]["deterministic"],
    }
    stated = {name: getattr(config, name) for name in recorded}
    if stated["engine"] == "auto" or config.accept_engine_change:
        stated["engine"] = None
    found = differences(stated, recorded)
    name = identity["model"]["name"]
    if config.model:
        preset = find_preset(config.model)
        asked = preset.name if preset else config.model
        if asked not in (name, spec_of(manifest).source) and Path(asked).resolve() != Path(spec_of(manifest).source):
            found.insert(0, f"model {asked} asked for, {name} in the corpus")
    if config.revision and config.revision != identity["model"]["revision"]:
        found.append(f"revision {config.revision} asked for, {identity['model']['revision']} in the corpus")
    if found:
        raise FaithfulError(
            f"{folder} was made otherwise: {'; '.join(found)}. Choose another --out; nothing was changed."
        )


def _refuse_foreign_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FaithfulError(f"{folder} is a file; choose a folder with --out.")
    if folder.is_dir() and any(path.name != ".lock" and not path.name.endswith(".tmp") for path in folder.iterdir()):
        raise FaithfulError(f"{folder} is not empty and holds no corpus; choose another --out.")


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
        settings = replace(settings, name=choose_engine(config.engine or settings.name, settings.device))
    same_engine = check_engine(recorded, engine_identity(settings), config.accept_engine_change)
    keep_bytes = same_engine and settings.deterministic and len(manifest.segments) == 1
    if not same_engine:
        manifest.segments.append(
            {"train": manifest.rows("train"), "test": manifest.rows("test"), "engine": engine_identity(settings)}
        )
    choose_engine(settings.name, settings.device)
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
        spec, schedule = self.spec, self.schedules[split]
        documents = [
            Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p or None, s.logprob_q) for s in samples
        ]
        texts = decode(self.tokenizer, [without_closing(d.token_ids, spec.eos_ids) for d in documents], spec.mapped)
        table = to_table(documents, texts, spec.vocab_size)
        statistics = shard_statistics(documents, texts, self.tokenizer, spec.eos_ids, spec.mapped)
        shard = write_shard(self.folder, split, number, table, statistics)
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
