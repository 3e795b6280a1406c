"""What a wish to train comes down to: model, hook, corpora, grid of cells and budget, checked before work starts."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from faithful.catalog import DEFAULT_CONTEXT, find_preset, sae_defaults
from faithful.corpus import Corpus
from faithful.errors import FaithfulError
from faithful.evaluate import held_out
from faithful.hooks import Hook
from faithful.model import ModelSpec, resolve_model, shape_of
from faithful.quantities import check_stated
from faithful.sae.config import Codes, Phase, StackConfig
from faithful.sae.record import own_record, read_config
from faithful.token_rows import Plan, plan_tokens
from faithful.train_corpora import bos_of

SEEDS = (0, 1, 2, 3, 4, 5)
LEAST_BATCH, LARGEST_BATCH, STEPS_WANTED = 256, 4096, 1024
BUFFER_BATCHES = 32
DEAD_SHARE, DEAD_MOST = 0.05, 10_000_000
SETTINGS = {"model", "revision", "corpus", "context", "tokens", "epochs", "batch", "buffer", "lr"}
ALGORITHM = 2
"""Counts changes of the training that give the same settings other weights."""


@dataclass(frozen=True)
class TrainConfig:
    """What the user stated; None is left to the SAEs that `out` holds of the shape, the corpora, the preset, the defaults.

    Attributes:
        corpora: corpus folders; every one trains the same grid.
        out: folder of the SAEs: `OUT/CORPUS/HOOK-fF-kK/seed-S/`.
        model: preset name, Hub id or folder; by default the model that the corpora were made for.
        seeds: init seeds.
        layer, hook: where activations are taken: `resid_pre`, `resid_post`, `attn_out` or `mlp_out` of a layer.
        d_sae, k: widths and numbers of active latents; all pairs are trained.
        lr: learning rate; that of the SAEs there, else the preset's, scaled by 1/√d_sae, else 2e-4/√(d_sae/2^14).
        tokens: stored tokens of the contexts consumed, per corpus; by default as many as the SAEs there were trained on, else
            those of the smallest corpus, at most the preset's.
        epochs: passes over the corpus, in place of `tokens`.
        context, layout: tokens per context, BOS included, by default that of the SAEs there; `aligned` or `packed`.
        data_seed: of the order of the data, the same for all cells.
        batch: activations per step; that of the SAEs there, else a power of two for 1,024 steps or more, 256 to 4,096.
        buffer: activations kept for mixing; as for the SAEs there, else 32 batches.
        drop_outliers: leave out activations with more than ten times the median norm.
        dtype, device: of the model; by default float32 on a CPU, else the preset's type.
        eval_tokens: held-out tokens to evaluate on; None is 20k on a CPU, 200k on a GPU.
        workers: processes, one per GPU; each takes corpora and shapes.
        threads: CPU threads of a process; by default the cores.
        deterministic: no atomics on a GPU (a CPU has none).
        checkpoint_minutes: time between checkpoints.
        log: `none`, `wandb` or `tensorboard`, beside train.jsonl.
        objective, schedule: of `StackConfig`, named functions of a module; None is none.
    """

    corpora: tuple[Path, ...]
    out: Path
    model: str | None = None
    seeds: tuple[int, ...] = SEEDS
    layer: int | None = None
    hook: str = "resid_pre"
    d_sae: tuple[int, ...] = ()
    k: tuple[int, ...] = ()
    lr: float | None = None
    tokens: int | None = None
    epochs: float | None = None
    context: int | None = None
    layout: str = "aligned"
    data_seed: int = 0
    batch: int | None = None
    buffer: int | None = None
    drop_outliers: bool = False
    dtype: str | None = None
    device: str | None = None
    eval_tokens: int | None = None
    workers: int = 1
    threads: int | None = None
    deterministic: bool = False
    checkpoint_minutes: float = 10.0
    log: str = "none"
    objective: Callable[[Codes], Tensor] | None = None
    schedule: Callable[[float], Phase] | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that decides a grid's weights, the same for all its cells.

    Attributes:
        model: the resolved model.
        hook: where activations are taken.
        context, layout, tokens, epochs, data_seed, batch, buffer, drop_outliers: see `TrainConfig`; `tokens` counts all
            epochs, and `epochs` is 1 where none were asked for.
        shapes: (d_sae, k) pairs.
        lrs: learning rate of each shape.
        seeds: init seeds.
        deterministic, objective, schedule: see `TrainConfig`.
        gemm_dtype: of the SAEs' dense products: `bfloat16` on a GPU, None (float32) on a CPU.
    """

    model: ModelSpec
    hook: Hook
    context: int
    layout: str
    tokens: int
    epochs: float
    data_seed: int
    batch: int
    buffer: int
    drop_outliers: bool
    shapes: tuple[tuple[int, int], ...]
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    deterministic: bool
    gemm_dtype: str | None
    objective: Callable[[Codes], Tensor] | None
    schedule: Callable[[float], Phase] | None

    def stack(self, d_in: int, d_sae: int, k: int, init_seeds: tuple[int, ...], steps: int) -> StackConfig:
        """How the cells of one shape train."""
        return StackConfig(
            d_in=d_in,
            d_sae=d_sae,
            k=k,
            init_seeds=init_seeds,
            steps=steps,
            lr=self.lrs[self.shapes.index((d_sae, k))],
            dead_tokens=max(1, min(DEAD_MOST, int(DEAD_SHARE * self.tokens))),
            deterministic=self.deterministic,
            gemm_dtype=self.gemm_dtype,
            objective=self.objective,
            schedule=self.schedule,
        )


def settle(config: TrainConfig, device: str) -> tuple[Settings, dict[Path, Plan]]:
    """Resolve everything.

    Raises:
        FaithfulError: a number that counts or measures nothing, no corpora, two of one name, a layer that does not exist,
            k > d_sae, a corpus made with another tokenizer or BOS, a budget larger than a corpus or smaller than a batch,
            a buffer too small to mix, text or held-out text that fills no context, SAEs in `out` that were trained on more
            tokens or do not agree in what is not stated; each names the fix.
    """
    _refuse_impossible(config)
    check_stated(config)
    corpora = _open(config.corpora)
    spec = _model(config, corpora, device)
    shape, preset = shape_of(spec), find_preset(spec.name)
    rule = sae_defaults(shape.layers, shape.d_model)
    layer = config.layer if config.layer is not None else preset.layer if preset else int(rule["layer"])
    if not 0 <= layer < shape.layers:
        raise FaithfulError(f"{spec.name} has layers 0 to {shape.layers - 1}, not {layer}; choose one with --layer.")
    widths = config.d_sae or ((preset.d_sae,) if preset else (int(rule["d_sae"]),))
    actives = config.k or ((preset.k,) if preset else (int(rule["k"]),))
    shapes = tuple((d_sae, k) for d_sae in dict.fromkeys(widths) for k in dict.fromkeys(actives))
    for d_sae, k in shapes:
        if not 1 <= k <= d_sae:
            raise FaithfulError(f"k {k} does not fit {d_sae} latents; give a --k from 1 to --d-sae.")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise FaithfulError("Name each seed once: --seeds 0-5.")
    hook = Hook(layer, config.hook)
    before = _Before.find(config.out, spec, hook, shapes, {corpus.name for corpus in corpora})
    context = config.context or before.value("context")
    context = context or (preset.context if preset else min(DEFAULT_CONTEXT, spec.positions or DEFAULT_CONTEXT))
    if context < 2 or (spec.positions and context > spec.positions):
        raise FaithfulError(
            f"A context of {context} tokens does not fit {spec.name}: use 2 to {spec.positions or 'any number'}."
        )
    usable = {corpus.folder: plan_tokens(corpus, context, config.layout) for corpus in corpora}
    for corpus in corpora:
        if not usable[corpus.folder].usable:
            raise FaithfulError(
                f"The text of {corpus.folder} fills no {config.layout} context of {context} tokens; use a smaller"
                " --context, or make the corpus larger."
            )
        held_out(corpus, spec, context, config.layout, device, config.eval_tokens)
    is_left_out = config.tokens is None and config.epochs is None
    tokens = before.value("tokens") if is_left_out else None
    epochs = config.epochs or (before.value("epochs") if is_left_out else None) or 1.0
    if tokens is None:
        tokens = _budget(config, corpora, usable, preset.tokens if preset else None)
    else:
        _refuse_shorter(corpora, usable, tokens, epochs, config.out)
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
    base = preset.lr * math.sqrt(preset.d_sae) if preset else 2e-4 * math.sqrt(2**14)
    return Settings(
        model=spec,
        hook=hook,
        context=context,
        layout=config.layout,
        tokens=tokens,
        epochs=epochs,
        data_seed=config.data_seed,
        batch=batch,
        buffer=buffer or max(BUFFER_BATCHES * batch, 2 * context),
        drop_outliers=config.drop_outliers,
        shapes=shapes,
        lrs=tuple(config.lr or before.value("lr", [shape]) or base / math.sqrt(shape[0]) for shape in shapes),
        seeds=config.seeds,
        deterministic=config.deterministic,
        gemm_dtype="bfloat16" if device.startswith("cuda") else None,
        objective=config.objective,
        schedule=config.schedule,
    ), usable


def _refuse_impossible(config: TrainConfig) -> None:
    """Refuse numbers that count or measure nothing."""
    for name in ("tokens", "context", "batch", "buffer", "eval_tokens", "workers", "threads"):
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


def cell_identity(settings: Settings, corpus: str, prefix_sha256: str, d_sae: int, k: int, seed: int) -> dict[str, Any]:
    """What decides a cell's weights: model, hook, the tokens it reads and their order, its own settings."""
    model = settings.model
    how = settings.stack(1, d_sae, k, (seed,), 1)
    return {
        "model": model.name,
        "revision": model.revision,
        "dtype": model.dtype,
        "bos_id": model.bos_id,
        "hook": settings.hook.name,
        "corpus": corpus,
        "prefix_sha256": prefix_sha256,
        "tokens": settings.tokens,
        "epochs": settings.epochs,
        "context": settings.context,
        "layout": settings.layout,
        "data_seed": settings.data_seed,
        "batch": settings.batch,
        "buffer": settings.buffer,
        "drop_outliers": settings.drop_outliers,
        "d_sae": d_sae,
        "k": k,
        "lr": how.lr,
        "init_seed": seed,
        "algorithm": ALGORITHM,
        "betas": list(how.betas),
        "eps": how.eps,
        "clip": how.clip,
        "warmup": how.warmup,
        "decay": how.decay,
        "auxk": how.auxk,
        "dead_tokens": how.dead_tokens,
        "gemm_dtype": how.gemm_dtype or "float32",
        "objective": _named(settings.objective),
        "schedule": _named(settings.schedule),
    }


def _named(function: Callable[..., Any] | None) -> str | None:
    """What a function is called, module and all.

    Raises:
        FaithfulError: it has no name to find it by.
    """
    if function is None:
        return None
    name = getattr(function, "__qualname__", "<")
    if "<" in name:
        raise FaithfulError("An objective or schedule decides the weights and must be a function of a module, by name.")
    return f"{function.__module__}.{name}"


def identity_sha256(identity: dict[str, Any]) -> str:
    """SHA-256 of an identity's canonical JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def shape_name(hook: Hook, d_sae: int, k: int) -> str:
    """Folder of a shape: `resid_pre.8-f12288-k16`."""
    return f"{hook.name}-f{d_sae}-k{k}"


@dataclass(frozen=True)
class _Before:
    """What the SAEs in a folder were trained with.

    Attributes:
        out: the folder.
        cells: for each shape the identities of its finished cells: those of the corpora at hand, or else of all.
    """

    out: Path
    cells: dict[tuple[int, int], list[dict[str, Any]]]

    @classmethod
    def find(
        cls, out: Path, spec: ModelSpec, hook: Hook, shapes: tuple[tuple[int, int], ...], corpora: set[str]
    ) -> "_Before":
        """Cells of a model and a hook."""
        cells = {}
        for shape in shapes:
            paths = sorted(out.glob(f"*/{shape_name(hook, *shape)}/seed-*/cfg.json"))
            recorded = [one for one in map(_recorded, paths) if one.keys() >= SETTINGS]
            cells[shape] = [one for one in recorded if (one["model"], one["revision"]) == (spec.name, spec.revision)]
        own = {shape: [one for one in found if one["corpus"] in corpora] for shape, found in cells.items()}
        return cls(out, own if any(own.values()) else cells)

    def value(self, setting: str, shapes: Iterable[tuple[int, int]] | None = None) -> Any:
        """A setting of these cells, None without any.

        Raises:
            FaithfulError: it is not the same for all.
        """
        every = [one[setting] for shape in shapes or self.cells for one in self.cells[shape]]
        if len(set(every)) > 1:
            found = " and ".join(f"{value:,}" for value in sorted(set(every))[:2])
            raise FaithfulError(f"{self.out} holds SAEs trained with {setting} {found}; choose with --{setting}.")
        return every[0] if every else None


def _recorded(path: Path) -> dict[str, Any]:
    """The identity in a cell's cfg.json; empty where `faithful train` did not write it."""
    return dict(own_record(read_config(path)).get("identity") or {})


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


def _model(config: TrainConfig, corpora: list[Corpus], device: str) -> ModelSpec:
    first = min(corpora, key=lambda corpus: corpus.manifest.kind != "own")
    recorded = first.manifest.identity["model"]
    source = config.model
    if source is None:
        preset = find_preset(recorded["name"])
        source = preset.name if preset else str(first.manifest.provenance["model"]["source"])
    resolve = partial(resolve_model, source, bos=bos_of(corpora), dtype=config.dtype, device=device)
    spec = resolve()
    if config.model is None and spec.revision != recorded["revision"]:
        if spec.is_local:
            raise FaithfulError(
                f"The model in {spec.source} is not the one that {first.folder} was made with: its files have changed; put"
                f" the old model back, or train on the present one with --model {source}."
            )
        spec = resolve(revision=recorded["revision"])
    for corpus in corpora:
        made_for = corpus.manifest.identity["model"]
        if made_for["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {made_for['name']}, whose tokenizer differs from {spec.name}'s;"
                f" train with --model {made_for['name']}, or add the corpus again for {spec.name}."
            )
    return spec


def _budget(config: TrainConfig, corpora: list[Corpus], usable: dict[Path, Plan], preset: int | None) -> int:
    """Stored tokens to consume per corpus.

    `--tokens N` is served by every corpus of N stored tokens, so what lies beyond the contexts is forgiven: the budget is
    then what such a corpus can give.
    """
    smallest = min(usable.values(), key=lambda found: found.usable)
    if config.epochs is not None and config.tokens is not None:
        raise FaithfulError("Give --tokens or --epochs, not both.")
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
    needed = math.ceil(tokens / max(1.0, epochs))
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
