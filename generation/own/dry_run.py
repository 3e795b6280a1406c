"""`faithful generate --dry-run`: a forecast that needs neither weights nor, for presets, a network."""

from dataclasses import asdict, dataclass, replace

from faithful.base.devices import known_device
from faithful.base.gpus import known_gpu
from faithful.base.quantities import check_stated, format_bytes
from faithful.models.load import shape_of
from faithful.models.presets import Preset, find_preset
from faithful.models.spec import ModelSpec, check_dtype, check_load
from faithful.store.corpus import Manifest
from generation.own.engines import known_engine, refuse_quantised
from generation.own.forecast import USABLE_MEMORY, Forecast, device_memory, make_forecast
from generation.own.part import PartWish
from generation.own.prepare import (
    GenerateConfig,
    corpus_folder,
    corpus_to_go_on_with,
    engine_settings,
    prepare,
    refuse_bad_counts,
    refuse_parallel,
    stated_sampling,
)
from generation.own.segments import settle_engine
from generation.sampling.engine import EngineSettings
from generation.writing.identity import sampling_of, settings_from
from generation.writing.splits import budgets, held_out_budget


@dataclass(frozen=True)
class DryRun(Forecast):
    """A plan, where its files would go, and a remark.

    Attributes:
        folder: corpus folder.
        existing_tokens: training tokens that are there already.
        preset: the preset's SAE settings, empty without one.
        note: sentences, or ''.
    """

    folder: str = ""
    existing_tokens: int = 0
    preset: dict[str, object] | None = None
    note: str = ""


def dry_run(config: GenerateConfig, assume: str | None = None, part: PartWish | None = None) -> DryRun:
    """Forecast what `generate(config)` would do; nothing is written.

    Args:
        config: what would be done.
        assume: a GPU by its short name (`h100`): the forecast is for vLLM on it, whatever is here.
        part: the forecast is for one of the parts, the mean of them.

    Raises:
        FaithfulError: what `generate` would refuse before it starts, or a GPU that is not known.
    """
    check_stated(config)
    refuse_bad_counts(config)
    if assume:
        known_gpu(assume)
        config = replace(config, device="cuda")
    preset = find_preset(config.model or "tiny")
    folder = corpus_folder(config, None, part) if preset or config.out else None
    there = 0
    if folder is None or preset is None or corpus_to_go_on_with(folder, part) is not None:
        folder, manifest, spec = prepare(config, part)
        there = manifest.tokens("train")
        plan, settings = _of_corpus(config, manifest, spec, assume, part)
        note = f"{folder} already holds {there:,} tokens; the plan is for the rest." if there else ""
    else:
        plan, settings = _of_preset(config, preset, assume, part)
        big = settings.device == "cpu" and not config.device and preset.shape.params > 5e8
        note = "There is no GPU here; --assume h100 says what one with vLLM would take." if big else ""
    note = f"{note} {_no_room(plan, settings, assume)}".strip()
    return DryRun(**asdict(plan), folder=str(folder), existing_tokens=there, preset=_settings(preset), note=note)


def _of_corpus(
    config: GenerateConfig, manifest: Manifest, spec: ModelSpec, assume: str | None, part: PartWish | None
) -> tuple[Forecast, EngineSettings]:
    """What is missing of a corpus, of its model as it was resolved."""
    wanted = _share(budgets(manifest, config.tokens, config.held_out), part)
    missing = {split: max(0, wanted[split] - manifest.tokens(split)) for split in wanted}
    settings = settings_from(manifest.segments[-1]["engine"])
    if assume:
        settings = _assumed(config, spec.load)
    elif any(manifest.shards.values()) and any(missing.values()):
        settings, _ = settle_engine(config, manifest)
    plan = make_forecast(
        model=spec.name,
        revision=spec.revision,
        dtype=spec.dtype,
        shape=shape_of(spec),
        sampling=sampling_of(manifest),
        settings=settings,
        train=missing["train"],
        held_out=missing["test"],
        workers=config.workers,
        assume=assume,
        load=spec.load,
    )
    return plan, settings


def _of_preset(
    config: GenerateConfig, preset: Preset, assume: str | None, part: PartWish | None
) -> tuple[Forecast, EngineSettings]:
    """All of a corpus that is not there, of a model whose shape is known without a network."""
    sampling = stated_sampling(config, preset.name, preset.shape.positions)
    dtype = config.dtype or ("float32" if known_device(config.device) == "cpu" else preset.dtype)
    check_dtype(dtype)
    load = check_load(config.load) if config.load else None
    settings = _assumed(config, load) if assume else engine_settings(config, preset.shape, dtype, sampling.max_tokens)
    train = config.tokens or preset.tokens
    wanted = _share({"train": train, "test": config.held_out or held_out_budget(train)}, part)
    plan = make_forecast(
        model=preset.name,
        revision=config.revision or "resolved to a commit at the start",
        dtype=dtype,
        shape=preset.shape,
        sampling=sampling,
        settings=settings,
        train=wanted["train"],
        held_out=wanted["test"],
        workers=config.workers,
        assume=assume,
        load=load,
    )
    return plan, settings


def _share(wanted: dict[str, int], part: PartWish | None) -> dict[str, int]:
    """Of the tokens wanted those of one part."""
    return {split: -(-tokens // (part.place.of if part else 1)) for split, tokens in wanted.items()}


def _assumed(config: GenerateConfig, load: str | None) -> EngineSettings:
    """Engine settings on a GPU that is not here: vLLM's, unless the other engine is stated or the model is quantised.

    Raises:
        FaithfulError: an engine that is none, vLLM for a quantised model, a model spread over GPUs by the other engine.
    """
    known_engine(config.engine or "auto")
    refuse_quantised(config.engine or "auto", load)
    name = "transformers" if config.engine == "transformers" or load else "vllm"
    settings = EngineSettings(
        name,
        "cuda",
        config.threads or 1,
        config.batch or 256,
        config.shard_rows or 4096,
        False,
        config.tensor_parallel or 1,
    )
    refuse_parallel(settings)
    return settings


def _no_room(plan: Forecast, settings: EngineSettings, assume: str | None) -> str:
    """What is wrong with a plan that does not fit this machine or the assumed GPU, '' where it fits."""
    if plan.fits or not plan.train_tokens + plan.test_tokens:
        return ""
    return (
        f"It does not fit: one sample at a time takes {format_bytes(plan.memory_bytes)} with the weights, and of the"
        f" memory {format_bytes(USABLE_MEMORY * device_memory(settings.device, assume))} can be used; use a smaller model"
        + (", --dtype bfloat16" if plan.dtype.startswith("float32") else "")
        + " or a machine with more memory. The time is that of one with enough."
    )


def _settings(preset: Preset | None) -> dict[str, object] | None:
    if preset is None:
        return None
    return {name: getattr(preset, name) for name in ("context", "tokens", "layer", "d_sae", "k", "lr")}
