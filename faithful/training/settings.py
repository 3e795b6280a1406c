"""What a wish to train comes down to: model, hook, corpora, grid of cells and budget, checked before work starts."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from faithful.activations.stream import tokens_of_a_pass
from faithful.base.errors import FaithfulError
from faithful.base.quantities import check_stated
from faithful.hooks.hook import Hook
from faithful.models.load import shape_of
from faithful.models.presets import Preset, sae_defaults
from faithful.models.presets import Shape as ModelShape
from faithful.models.spec import ModelSpec, check_context, resolve_model, with_load
from faithful.sae.variant import Variant
from faithful.store.corpora_of_saes import bos_of, sampled_loads
from faithful.store.corpus import Corpus
from faithful.store.readings import Readings
from faithful.store.shape import Shape
from faithful.store.token_rows import Plan, check_layout, plan_tokens
from faithful.training.config import Settings, TrainConfig
from faithful.training.evaluate import default_eval_tokens, held_out
from faithful.training.inherited import InheritedSettings
from faithful.training.variants import variants_of

LEAST_BATCH, LARGEST_BATCH, STEPS_WANTED = 256, 4096, 1024
BUFFER_BATCHES = 32


def settle(config: TrainConfig, device: str, readings: Readings | None = None) -> tuple[Settings, dict[Path, Plan]]:
    """Resolve everything; corpora are read only where `readings`, by default those in `out`, do not tell what they offer.

    Raises:
        FaithfulError: a number that counts or measures nothing, a variant or a setting of one that is not known, no
            corpora, two of one name, a layer that does not exist, k > d_sae, a corpus made with another tokenizer or BOS, a
            budget larger than a corpus or smaller than a batch, a buffer too small to mix, text or held-out text that fills
            no context, SAEs in `out` that were trained on more tokens or do not agree in what is not stated; each names the
            fix.
    """
    refuse_impossible(config)
    variants = variants_of(config.variant, config.settings)
    corpora = _open(config.corpora)
    spec = _model(config, corpora, device)
    hook, shapes = _grid(config, spec.name, shape_of(spec), spec.preset, variants)
    before = InheritedSettings.find(config.out, spec, hook, shapes, {corpus.name for corpus in corpora})
    context = config.context or before.value("context") or spec.default_context
    check_context(context, spec.name, spec.positions)
    usable = _usable(config, corpora, spec, context, device, readings or Readings(config.out))
    is_left_out = config.tokens is None and config.epochs is None
    tokens = before.value("tokens") if is_left_out else None
    epochs = config.epochs or (before.value("epochs") if is_left_out else None) or 1.0
    if tokens is None:
        tokens = _budget(config, corpora, usable, spec.preset.tokens if spec.preset else None)
    else:
        _refuse_shorter(corpora, usable, tokens, epochs, config.out)
    batch, buffer = _batch_and_buffer(config, before, tokens, context)
    return Settings(
        model=spec,
        hook=hook,
        context=context,
        layout=config.layout,
        tokens=tokens,
        epochs=epochs,
        data_seed=config.data_seed,
        batch=batch,
        buffer=buffer,
        drop_outliers=config.drop_outliers,
        shapes=shapes,
        lrs=tuple(config.lr or before.value("lr", [shape]) or default_lr(spec.preset, shape.d_sae) for shape in shapes),
        seeds=config.seeds,
        deterministic=config.deterministic,
        gemm_dtype="bfloat16" if device.startswith("cuda") else None,
    ), usable


def _grid(
    config: TrainConfig, name: str, shape: ModelShape, preset: Preset | None, variants: tuple[Variant, ...]
) -> tuple[Hook, tuple[Shape, ...]]:
    """The hook, and widths and ks with each variant: as stated, else the preset's, else by rule."""
    default = preset or sae_defaults(shape.layers, shape.d_model)
    layer = config.layer if config.layer is not None else default.layer
    if not 0 <= layer < shape.layers:
        raise FaithfulError(f"{name} has layers 0 to {shape.layers - 1}, not {layer}; choose one with --layer.")
    widths, actives = dict.fromkeys(config.d_sae or (default.d_sae,)), dict.fromkeys(config.k or (default.k,))
    shapes = tuple(Shape(d_sae, k, variant) for d_sae in widths for k in actives for variant in variants)
    for d_sae, k, variant in shapes:
        if not 1 <= k <= d_sae:
            raise FaithfulError(f"k {k} does not fit {d_sae} latents; give a --k from 1 to --d-sae.")
        variant.check(d_sae, k)
    return Hook(layer, config.hook), shapes


def _batch_and_buffer(config: TrainConfig, before: InheritedSettings, tokens: int, context: int) -> tuple[int, int]:
    """Activations per step, and activations kept for mixing."""
    batch = config.batch or before.value("batch") or _batch(tokens)
    if batch > tokens:
        raise FaithfulError(
            f"A batch of {batch:,} is more than the {tokens:,} tokens; use a smaller --batch or more tokens."
        )
    buffer, least = config.buffer or before.value("buffer"), 2 * max(batch, context)
    if buffer and buffer < least:
        raise FaithfulError(
            f"A buffer of {buffer:,} is too small to mix batches of {batch:,} and contexts of {context:,}; give --buffer at"
            f" least {least:,}."
        )
    return batch, buffer or max(BUFFER_BATCHES * batch, 2 * context)


def refuse_impossible(config: TrainConfig, preset: Preset | None = None) -> None:
    """Refuse what no corpus can make right.

    Args:
        config: the wish.
        preset: of the model, where what does not fit its shape is to be refused too.

    Raises:
        FaithfulError: a number that counts or measures nothing, a seed twice or none, tokens and epochs both, no layout; of a
            preset a layer, a hook, a k or a context that cannot be.
    """
    for name in ("tokens", "context", "batch", "buffer", "eval_tokens", "eval_every", "workers", "threads"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise FaithfulError(f"--{name.replace('_', '-')} must be at least 1.")
    for name in ("lr", "epochs"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise FaithfulError(f"--{name} must be a finite number above 0.")
    if not config.checkpoint_minutes >= 0:
        raise FaithfulError("--checkpoint-minutes must be at least 0.")
    if min((config.data_seed, *config.seeds)) < 0:
        raise FaithfulError("--data-seed and --seeds must not be negative.")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise FaithfulError("Name each seed once: --seeds 0-5.")
    if config.epochs is not None and config.tokens is not None:
        raise FaithfulError("Give --tokens or --epochs, not both.")
    check_stated(config)
    check_layout(config.layout)
    if preset:
        _grid(config, preset.name, preset.shape, preset, variants_of(config.variant, config.settings))
        check_context(config.context or preset.context, preset.name, preset.shape.positions)


def _open(folders: tuple[Path, ...]) -> list[Corpus]:
    if not folders:
        raise FaithfulError(
            "There is no corpus to train on; name one with --corpus, or make one with `faithful generate`."
        )
    corpora = [Corpus(folder) for folder in folders]
    names = [corpus.name for corpus in corpora]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FaithfulError(f"Two corpora are named {twice[0]}; a corpus' name is its folder's name, so rename one.")
    for corpus in corpora:
        for split, need in (("train", "training"), ("test", "held-out")):
            if not corpus.tokens(split):
                raise FaithfulError(
                    f"{corpus.folder} holds no {need} tokens; complete it with the command that made it."
                )
    return corpora


def default_lr(preset: Preset | None, d_sae: int) -> float:
    """Learning rate of so many latents where none is stated: the preset's, or 2e-4 for 16,384, by 1/√d_sae."""
    lr, latents = (preset.lr, preset.d_sae) if preset else (2e-4, 2**14)
    return lr * math.sqrt(latents) / math.sqrt(d_sae)


def _model(config: TrainConfig, corpora: list[Corpus], device: str) -> ModelSpec:
    first = min(corpora, key=lambda corpus: corpus.manifest.kind != "own")
    recorded = first.manifest.identity["model"]
    source = config.model or str(first.manifest.provenance["model"]["source"])
    resolve = partial(resolve_model, source, bos=bos_of(corpora), dtype=config.dtype, device=device)
    spec = resolve()
    if config.model is None and spec.revision != recorded["revision"]:
        if spec.is_local:
            raise FaithfulError(
                f"The model in {spec.source} is not the one that {first.folder} was made with: its files have changed; put"
                f" the old model back, or train on the present one with --model {source}."
            )
        spec = resolve(revision=recorded["revision"])
    sampled = sampled_loads(first.manifest, spec.revision)
    load = config.load or (sampled.pop() if len(sampled) == 1 else None)
    spec = replace(with_load(spec, load), sharded=config.shard_model)
    for corpus in corpora:
        made_for = corpus.manifest.identity["model"]
        if made_for["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {made_for['name']}, whose tokenizer differs from {spec.name}'s;"
                f" train with --model {corpus.manifest.provenance['model']['source']}, or add the corpus again for"
                f" {spec.name}."
            )
    return spec


def _usable(
    config: TrainConfig, corpora: list[Corpus], spec: ModelSpec, context: int, device: str, readings: Readings
) -> dict[Path, Plan]:
    """What each corpus offers, held-out text to evaluate on included; corpora are read where that is not known."""
    usable, how = {}, {"context": context, "layout": config.layout}
    most = config.eval_tokens or default_eval_tokens(device)
    for corpus in corpora:
        plan = partial(plan_tokens, corpus, context, config.layout, spec=spec)
        found = usable[corpus.folder] = Plan(*readings.of(corpus, "train", spec, how | {"what": "plan"}, plan))
        if not found.usable:
            raise FaithfulError(
                f"The text of {corpus.folder} fills no {config.layout} context of {context} tokens; use a smaller"
                " --context, or make the corpus larger."
            )
        evaluated = partial(_evaluated, corpus, spec, context, config.layout, device, most)
        readings.of(corpus, "test", spec, how | {"what": "held out", "tokens": most}, evaluated)
    return usable


def _evaluated(*asked: Any) -> list[int]:
    return [held_out(*asked).usable]


def _budget(config: TrainConfig, corpora: list[Corpus], usable: dict[Path, Plan], preset: int | None) -> int:
    """Stored tokens to consume per corpus.

    `--tokens N` is served by every corpus of N stored tokens, so what lies beyond the contexts is forgiven: the budget is
    then what such a corpus can give.
    """
    smallest = min(usable.values(), key=lambda found: found.usable)
    if config.epochs is not None:
        return int(config.epochs * smallest.usable)
    if config.tokens is None:
        return min(smallest.usable, preset) if preset else smallest.usable
    for corpus in corpora:
        have = usable[corpus.folder]
        if config.tokens > have.usable + have.unusable:
            epochs = config.tokens / have.usable
            raise FaithfulError(
                f"{corpus.name} holds {have.usable:,} tokens inside contexts, and {config.tokens:,} are asked for:"
                f" that is {epochs:.3g} passes; say so with --epochs {math.ceil(epochs * 100) / 100:g}, or make the corpus"
                " larger."
            )
    return min(config.tokens, smallest.usable)


def _refuse_shorter(corpora: list[Corpus], usable: dict[Path, Plan], tokens: int, epochs: float, out: Path) -> None:
    """Refuse corpora that cannot give what the SAEs that are there were trained on."""
    needed = tokens_of_a_pass(tokens, epochs)
    for corpus in corpora:
        have = usable[corpus.folder].usable
        if have < needed:
            raise FaithfulError(
                f"{corpus.name} holds {have:,} tokens inside contexts, and the SAEs in {out} were trained on {needed:,} of"
                f" each corpus; make {corpus.name} larger, or choose another --out."
            )


def _batch(tokens: int) -> int:
    batch = 2 ** int(math.log2(max(tokens / STEPS_WANTED, 1)))
    return min(max(batch, LEAST_BATCH), LARGEST_BATCH)
