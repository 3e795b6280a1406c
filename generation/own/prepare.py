"""What a wish to generate comes down to: folder, manifest, model, sampling and engine, checked before work starts."""

import re
from dataclasses import replace
from pathlib import Path

from faithful.base.devices import known_device
from faithful.base.errors import FaithfulError
from faithful.executor.where import current_place
from faithful.models.load import shape_of
from faithful.models.presets import DEFAULT_CONTEXT, Shape, find_preset
from faithful.models.spec import ModelSpec, check_load, resolve_model
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import Provenance
from faithful.store.places import run_folder, run_name
from generation.configs.generate import GenerateConfig
from generation.own.engines import choose_engine
from generation.own.forecast import device_memory, worker_memory
from generation.own.part import PartWish
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.writing.identity import (
    corpus_identity,
    engine_identity,
    model_provenance,
    settings_from,
    spec_of,
)
from generation.writing.recorded import difference, differences, existing_corpus, model_differences, refuse_otherwise

ENGINE_CHANGES = ("engine", "device", "batch", "tensor_parallel")


def default_max_tokens(model: str, positions: int | None = None) -> int:
    """Longest sample by default: the preset's context − 1, else min(512, the model's context) − 1."""
    preset = find_preset(model)
    if preset:
        return preset.context - 1
    return min(DEFAULT_CONTEXT, positions or DEFAULT_CONTEXT) - 1


def corpus_folder(config: GenerateConfig, positions: int | None = None, part: PartWish | None = None) -> Path:
    """Folder of the corpus: `--out`, else `runs/MODEL/corpora/own` with what its sampling changes in the name.

    A part of it lies in `runs/MODEL/parts`, with which one it is in the name.
    """
    if config.out:
        return config.out
    model = config.model or "tiny"
    longest = default_max_tokens(model, positions)
    sampling = Sampling(max_tokens=longest).with_changes(**config.sampling_changes())
    load = check_load(config.load) if config.load else None
    name = "own" + (f"-{load}" if load else "") + sampling.suffix(longest) + (f"-s{config.seed}" if config.seed else "")
    run = run_folder(config.run) if config.run else run_folder(run_name(model))
    return run / "parts" / f"{name}-{part.place.number}-of-{part.place.of}" if part else run / "corpora" / name


def prepare(config: GenerateConfig, part: PartWish | None = None) -> tuple[Path, Manifest, ModelSpec]:
    """Resolve everything before work starts: folder, manifest (existing or new) and model.

    On an existing corpus only what is stated is compared, and the network is not asked, unless its name hangs on how long
    the model's contexts are: where --max-tokens is stated.
    """
    if part and config.accept_engine_change:
        raise FaithfulError("All parts of a corpus have one engine; leave out --accept-engine-change.")
    refuse_bad_counts(config)
    spec: ModelSpec | None = None
    positions = None
    if config.out is None and config.model and config.max_tokens is not None and find_preset(config.model) is None:
        spec = _resolve(config)
        positions = spec.positions
    folder = corpus_folder(config, positions, part)
    manifest = corpus_to_go_on_with(folder, part)
    if manifest is not None:
        refuse_differences(config, folder, manifest)
        return folder, manifest, spec_of(manifest)
    spec = spec or _resolve(config)
    sampling = stated_sampling(config, spec.name, spec.positions)
    if sampling.mode == "documents" and not spec.eos_ids:
        raise FaithfulError(
            f"No file of {spec.name} names an end-of-text token, so documents never end; state eos_token_id in its"
            " generation_config.json, or use --mode streams."
        )
    provenance: Provenance = {
        "model": model_provenance(spec),
        "generation_config_not_applied": spec.generation_config,
    }
    if config.revision:
        provenance["revision_asked"] = config.revision
    settings = engine_settings(config, shape_of(spec), spec.dtype, sampling.max_tokens)
    engine = engine_identity(settings, spec.load)
    manifest = Manifest(
        name=folder.resolve().name,
        kind="own",
        identity=corpus_identity(spec, sampling, config.seed or 0, engine),
        provenance=provenance,
        requested={"train": 0, "test": 0},
        segments=[{"train": 0, "test": 0, "engine": engine}],
    )
    return folder, part.begin(manifest) if part else manifest, spec


def corpus_to_go_on_with(folder: Path, part: PartWish | None = None) -> Manifest | None:
    """The manifest of the corpus, or the part of one, in a folder; None where there is none yet.

    A manifest without a shard is what a run left that drew nothing: there is no corpus yet, and it is started anew.

    Raises:
        FaithfulError: see `existing_corpus`.
    """
    manifest = part.existing(folder) if part else existing_corpus(folder)
    return manifest if manifest and (manifest.kind != "own" or any(manifest.shards.values())) else None


def refuse_bad_counts(config: GenerateConfig) -> None:
    """Refuse numbers of tokens, processes, threads, samples in flight and samples per shard that are none."""
    names = ("tokens", "held_out", "batch", "shard_rows", "threads", "workers", "tensor_parallel")
    for name in names:
        if (count := getattr(config, name)) is not None and count < 1:
            raise FaithfulError(f"--{name.replace('_', '-')} must be at least 1, not {count}.")


def engine_settings(config: GenerateConfig, shape: Shape, dtype: str, max_tokens: int) -> EngineSettings:
    """Engine settings for a new corpus on this machine: one thread per worker on a CPU, so that bytes can be promised.

    The transformers engine's batch is halved until its key-value buffers fit beside the weights; vLLM manages its own.
    """
    device = drawing_device(config)
    load = check_load(config.load) if config.load else None
    name = choose_engine(config.engine or "auto", device, load)
    on_cpu = device == "cpu"
    deterministic = config.deterministic if config.deterministic is not None else on_cpu and name == "transformers"
    slots = config.batch if config.batch is not None else (64 if on_cpu and name == "transformers" else 256)
    shard_rows = config.shard_rows if config.shard_rows is not None else (512 if on_cpu else 4096)
    threads = config.threads if config.threads is not None else 1
    settings = EngineSettings(name, device, threads, slots, shard_rows, deterministic, config.tensor_parallel or 1)
    refuse_parallel(settings)
    if config.batch or name == "vllm":
        return settings
    memory = device_memory(device)
    while settings.slots > 1 and worker_memory(shape, dtype, settings, max_tokens + 1, load) > 0.85 * memory:
        settings = replace(settings, slots=settings.slots // 2)
    return settings


def drawing_device(config: GenerateConfig) -> str:
    """The device stated, by default what there is where the samples are drawn."""
    return known_device(config.device or current_place().device)


def drawing_settings(config: GenerateConfig, manifest: Manifest) -> EngineSettings:
    """Engine settings to go on with: those last used, with the stated engine, device and batch where a change is accepted.

    Raises:
        FaithfulError: an engine that is not installed, or one that spreads no model over GPUs and is to.
    """
    settings = settings_from(manifest.segments[-1]["engine"])
    if config.accept_engine_change:
        device = drawing_device(config)
        name = config.engine or (settings.name if device == settings.device else "auto")
        settings = replace(
            settings,
            device=device,
            name=name,
            slots=config.batch or settings.slots,
            tensor_parallel=config.tensor_parallel or settings.tensor_parallel,
        )
    load = manifest.identity["model"].get("load")
    settings = replace(settings, name=choose_engine(settings.name, settings.device, load))
    refuse_parallel(settings)
    return settings


def refuse_parallel(settings: EngineSettings) -> None:
    """Refuse to spread a model over GPUs with another engine than vLLM.

    Raises:
        FaithfulError: it is to be.
    """
    if settings.tensor_parallel > 1 and (settings.name, settings.device) != ("vllm", "cuda"):
        raise FaithfulError("--tensor-parallel spreads a model over GPUs with vLLM; use --engine vllm --device cuda.")


def stated_sampling(config: GenerateConfig, model: str, positions: int) -> Sampling:
    """The sampling of a new corpus: what was stated on top of the model's defaults.

    Raises:
        FaithfulError: a setting is out of range, or a sample with its BOS would not fit the model's context, if it states
            one.
    """
    sampling = Sampling(max_tokens=default_max_tokens(model, positions)).with_changes(**config.sampling_changes())
    if positions and sampling.max_tokens > positions - 1:
        raise FaithfulError(
            f"--max-tokens {sampling.max_tokens} does not fit: {model} has a context of {positions} tokens, BOS included;"
            f" use at most {positions - 1}."
        )
    return sampling


def _resolve(config: GenerateConfig) -> ModelSpec:
    return resolve_model(
        config.model or "tiny",
        revision=config.revision,
        dtype=config.dtype,
        bos=config.bos,
        device=drawing_device(config),
        load=config.load,
    )


def refuse_differences(config: GenerateConfig, folder: Path, manifest: Manifest) -> None:
    """Compare what was stated with a corpus that exists.

    Raises:
        FaithfulError: they differ, or the corpus is no sampled one; says in what.
    """
    if manifest.kind != "own":
        raise FaithfulError(f"{folder} is no corpus sampled from a model; choose another --out.")
    identity, engine = manifest.identity, manifest.segments[-1]["engine"]
    recorded = {
        **identity["sampling"],
        "seed": identity["seed"],
        "dtype": identity["model"]["dtype"],
        "load": identity["model"].get("load") or "full",
        "bos": identity["model"]["bos_id"],
        "engine": engine["name"],
        "device": settings_from(engine).device,
        "threads": engine["threads"],
        "batch": engine["slots"],
        "shard_rows": engine["shard_rows"],
        "tensor_parallel": engine.get("tensor_parallel", 1),
        "deterministic": engine["deterministic"],
    }
    stated = {name: getattr(config, name) for name in recorded}
    if stated["engine"] == "auto":
        stated["engine"] = None
    engine_changes = differences({name: stated.pop(name) for name in ENGINE_CHANGES}, recorded)
    changes = model_differences(config.model, manifest) + differences(stated, recorded)
    if config.revision and not _is_revision(config.revision, manifest):
        changes.append(difference("revision", config.revision, identity["model"]["revision"]))
    advice = "Choose another --out" if changes else "Choose another --out, or go on with --accept-engine-change"
    if not config.accept_engine_change:
        changes += engine_changes
    refuse_otherwise(folder, changes, advice)


def _is_revision(stated: str, manifest: Manifest) -> bool:
    """Whether a revision is the one a corpus was made with: its sha, the beginning of it, or the name asked for then."""
    sha = manifest.identity["model"]["revision"]
    beginning = re.fullmatch("[0-9a-f]{7,}", stated) is not None and sha.startswith(stated)
    return beginning or stated in (sha, manifest.provenance.get("revision_asked"))
