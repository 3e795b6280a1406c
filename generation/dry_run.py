"""`faithful generate --dry-run`: a forecast that needs neither weights nor, for presets, a network."""

from dataclasses import asdict, dataclass
from typing import Any

from faithful.catalog import Preset, find_preset
from faithful.corpus import MANIFEST
from faithful.model import check_dtype, shape_of
from generation.engine import has_cuda
from generation.identity import sampling_of, settings_from
from generation.plan import Plan, make_plan, test_tokens
from generation.prepare import (
    GenerateConfig,
    corpus_folder,
    engine_settings,
    prepare,
    stated_sampling,
    targets,
)


@dataclass(frozen=True)
class DryRun(Plan):
    """A plan, where its files would go, and a remark.

    Attributes:
        folder: corpus folder.
        existing_tokens: training tokens that are there already.
        preset: the preset's SAE settings, empty without one.
        note: a sentence, or ''.
    """

    folder: str = ""
    existing_tokens: int = 0
    preset: dict[str, Any] | None = None
    note: str = ""


def dry_run(config: GenerateConfig) -> DryRun:
    """Forecast what `generate(config)` would do; nothing is written.

    Raises:
        FaithfulError: what `generate` would refuse before it starts.
    """
    preset = find_preset(config.model or "tiny")
    folder = corpus_folder(config) if preset or config.out else None
    if folder is None or preset is None or (folder / MANIFEST).exists():
        folder, manifest, spec = prepare(config)
        wanted = targets(config, manifest)
        there = manifest.tokens("train")
        settings = settings_from(manifest.identity["engine"])
        plan = make_plan(
            model=spec.name,
            revision=spec.revision,
            dtype=spec.dtype,
            shape=shape_of(spec),
            sampling=sampling_of(manifest),
            settings=settings,
            train=max(0, wanted["train"] - there),
            held_out=max(0, wanted["test"] - manifest.tokens("test")),
            workers=config.workers,
        )
        note = f"{folder} already holds {there:,} tokens; the plan is for the rest." if there else ""
        return DryRun(**asdict(plan), folder=str(folder), existing_tokens=there, preset=_settings(preset), note=note)
    sampling = stated_sampling(config, preset.name, preset.shape.positions)
    dtype = config.dtype or (
        "float32" if (config.device or ("cuda" if has_cuda() else "cpu")) == "cpu" else preset.dtype
    )
    check_dtype(dtype)
    settings = engine_settings(config, preset.shape, dtype, sampling.max_tokens)
    train = config.tokens or preset.tokens
    plan = make_plan(
        model=preset.name,
        revision=config.revision or "resolved to a commit at the start",
        dtype=dtype,
        shape=preset.shape,
        sampling=sampling,
        settings=settings,
        train=train,
        held_out=config.held_out or test_tokens(train),
        workers=config.workers,
    )
    big = settings.device == "cpu" and preset.shape.params > 5e8
    note = "There is no GPU here; on one with vLLM this would take a fraction of the time." if big else ""
    return DryRun(**asdict(plan), folder=str(folder), preset=_settings(preset), note=note)


def _settings(preset: Preset | None) -> dict[str, Any] | None:
    if preset is None:
        return None
    return {name: getattr(preset, name) for name in ("context", "tokens", "layer", "d_sae", "k", "lr")}


__all__ = ["DryRun", "dry_run"]
