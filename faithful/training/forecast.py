"""What a training will take, before a weight is loaded: memory, arithmetic, time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from faithful.activations.quality import LOGITS_PER_FORWARD
from faithful.activations.stream import FORWARD_TOKENS
from faithful.base.devices import check_device
from faithful.base.gpus import forecast_gpu, known_gpu
from faithful.base.quantities import Part, format_bytes, format_count, format_seconds
from faithful.executor.where import refuse_unsharded
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.truncated import TruncatedModel, refuse_several_streams
from faithful.models.load import empty_model, shape_of
from faithful.models.spec import in_words
from faithful.sae.config import StackConfig
from faithful.sae.variant import DEFAULT
from faithful.store.corpus import Corpus
from faithful.store.shape import short_name
from faithful.store.token_rows import Plan
from faithful.training.config import Settings, TrainConfig
from faithful.training.evaluate import EVAL_TOKENS, default_eval_tokens
from faithful.training.settings import settle

CPU_FLOPS_PER_THREAD = 3e10
GPU_SHARE = 0.4
"""Of a GPU's dense operations that a training reaches (estimate)."""
DOCUMENT_BYTES = 50
SHARED_PASSES = 3
"""Of an evaluation through the layers above the hook, for all SAEs of a corpus: as it is, with 0, with the mean."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one process that trains all shapes; its libraries come on top.

    Attributes:
        model: all weights of the language model.
        tokens: the prefix of a corpus while it is read.
        buffer: activations that wait to be mixed; a checkpoint copies them.
        forward: peak of a forward pass.
        saes: weights, moments, gradients and the copies of a batch.
        dead: what AuxK needs where all latents are dead.
        evaluation: logits, forward passes, and a copy of the SAEs.
    """

    model: int
    tokens: int
    buffer: int
    forward: int
    saes: int
    dead: int
    evaluation: int

    @property
    def total(self) -> int:
        """About: forward passes, checkpoints and the evaluation come one after the other."""
        passing = max(self.forward, self.buffer, self.evaluation)
        return self.model + self.tokens + self.buffer + self.saes + self.dead + passing


@dataclass(frozen=True)
class TrainPlan:
    """A forecast; times are estimates from FLOPs.

    Attributes:
        model, hook, corpora, cells: what would be trained; `cells` over all corpora.
        shapes: (d_sae, k, lr, variant).
        tokens, unusable: stored tokens per corpus, and those beyond the contexts, by corpus.
        steps, batch: about so many steps per corpus.
        forward_flops, sae_flops: per token: the truncated forward pass, and all SAEs of a corpus.
        evaluation_flops: of one SAE on held-out text: the layers above the hook with its reconstruction in place.
        disk: bytes of all SAEs.
        memory: see `Memory`.
        seconds: estimated, all corpora.
    """

    model: str
    hook: str
    corpora: list[str]
    cells: int
    shapes: list[tuple[int, int, float, str]]
    tokens: int
    unusable: dict[str, int]
    steps: int
    batch: int
    forward_flops: float
    sae_flops: float
    evaluation_flops: float
    disk: int
    memory: Memory
    seconds: float

    def to_dict(self) -> Mapping[str, object]:
        """Plain values."""
        values = asdict(self)
        return values | {"memory": values["memory"] | {"total": self.memory.total}}


def plan_training(config: TrainConfig, assume: str | None = None) -> TrainPlan:
    """Forecast a training from the model's shape and the corpora's manifests, for the GPU that `assume` names if it does.

    Raises:
        FaithfulError: a device that is not there, a GPU that is not known, `--shard-model` where `train` refuses it, and what
            `settle` refuses.
    """
    device = "cuda" if assume and known_gpu(assume) else check_device(config.device)
    if config.shard_model and not assume:
        refuse_unsharded(device, config.workers)
    return forecast(*settle(config, device), device, config.eval_tokens, assume)


def device_flops(device: str, assume: str | None = None) -> float:
    """Operations per second that a training reaches on the CPU, or on the GPU here or assumed (estimates)."""
    if device.startswith("cuda"):
        return forecast_gpu(assume).flops * GPU_SHARE
    return CPU_FLOPS_PER_THREAD * torch.get_num_threads()


def forecast(
    settings: Settings, usable: dict[Path, Plan], device: str, eval_tokens: int | None, assume: str | None = None
) -> TrainPlan:
    """Forecast what `settle` found, with so many held-out tokens to evaluate on, by default those of the device."""
    model, seeds = empty_model(settings.model), len(settings.seeds)
    refuse_several_streams(model)
    truncated = TruncatedModel(model, settings.hook)
    stacks = [settings.stack(truncated.d_in, shape, settings.seeds, 1) for shape in settings.shapes]
    forward = forward_flops(model, settings)
    sae = float(sum(stack.flops(1) for stack in stacks))
    held_out = max(Corpus(folder).tokens("test") for folder in usable)
    evaluation = min(eval_tokens or default_eval_tokens(device), held_out) * flops_above(model, settings)
    cells = len(usable) * seeds * len(settings.shapes)
    flops = len(usable) * settings.tokens * (forward + sae) + (cells + SHARED_PASSES * len(usable)) * evaluation
    return TrainPlan(
        model=settings.model.name + (f" {in_words(settings.model.load)}" if settings.model.load else ""),
        hook=settings.hook.name,
        corpora=[folder.resolve().name for folder in usable],
        cells=cells,
        shapes=[
            (d_sae, k, lr, short_name(variant.name, asdict(variant)))
            for (d_sae, k, variant), lr in zip(settings.shapes, settings.lrs, strict=True)
        ],
        tokens=settings.tokens,
        unusable={folder.resolve().name: plan.unusable for folder, plan in usable.items()},
        steps=settings.tokens // settings.batch,
        batch=settings.batch,
        forward_flops=forward,
        sae_flops=sae,
        evaluation_flops=evaluation,
        disk=sae_bytes(stacks, len(usable)),
        memory=_memory(settings, usable, model, truncated, stacks, device.partition(":")[0]),
        seconds=flops / device_flops(device, assume),
    )


def part_seconds(plan: TrainPlan, part: Part) -> float:
    """Of one part: each corpus that it has cells of is a forward pass of its own."""
    each, run = plan.cells // len(plan.corpora), part.run_of(plan.cells)
    passes = (run.stop - 1) // each - run.start // each + 1 if run else 0

    def flops(passes: int, cells: int) -> float:
        training = plan.tokens * (passes * plan.forward_flops + cells / each * plan.sae_flops)
        return training + (cells + SHARED_PASSES * passes) * plan.evaluation_flops

    return plan.seconds * flops(passes, len(run)) / flops(len(plan.corpora), plan.cells)


def longest_part(plan: TrainPlan, of: int) -> float:
    """Seconds of the longest of so many parts; of more parts than cells each has one cell or none."""
    most = min(of, plan.cells)
    return max(part_seconds(plan, Part(number, most)) for number in range(most))


def forward_flops(model: Any, settings: Settings) -> float:
    """FLOPs per token of the layers up to the hook: two per weight of theirs, and attention over half a context."""
    layers = decoder_layers(model)[1][: settings.hook.layer + (settings.hook.kind != "resid_pre")]
    return _flops(model, list(layers), settings.context)


def flops_above(model: Any, settings: Settings) -> float:
    """FLOPs per token of the layers above the hook, and of the logits."""
    config = model.config.get_text_config()
    every = _flops(model, list(decoder_layers(model)[1]), settings.context)
    return every - forward_flops(model, settings) + 2.0 * config.hidden_size * config.vocab_size


def _flops(model: Any, layers: Sequence[Any], context: int) -> float:
    width = int(model.config.get_text_config().hidden_size)
    weights = sum(weight.numel() for layer in layers for weight in layer.parameters())
    return 2.0 * weights + 2.0 * context * width * len(layers)


def sae_bytes(stacks: list[StackConfig], corpora: int) -> int:
    """Bytes of the weights of all SAEs of all corpora, float32."""
    return 4 * corpora * sum(len(one.init_seeds) * (2 * one.d_sae * one.d_in + one.d_sae + one.d_in) for one in stacks)


def _memory(
    settings: Settings,
    usable: dict[Path, Plan],
    model: Any,
    truncated: TruncatedModel,
    stacks: list[StackConfig],
    device: str,
) -> Memory:
    spec, batch, d_in, size = settings.model, settings.batch, truncated.d_in, truncated.dtype.itemsize
    contexts = max(1, FORWARD_TOKENS.get(device, FORWARD_TOKENS["cpu"]) // settings.context)
    read = math.ceil(settings.tokens / max(1.0, settings.epochs))
    id_bytes = 2 if spec.vocab_size <= 1 << 16 else 4
    logits = settings.context * spec.vocab_size
    fitting = LOGITS_PER_FORWARD.get(device, LOGITS_PER_FORWARD["cpu"]) // logits
    scored = max(1, min(fitting, EVAL_TOKENS.get(device, EVAL_TOKENS["cpu"]) // settings.context))
    return Memory(
        model=shape_of(spec).weight_bytes(size, spec.load)
        if spec.load
        else sum(weight.numel() * weight.element_size() for weight in model.parameters()),
        tokens=2 * id_bytes * read + DOCUMENT_BYTES * max(plan.rows for plan in usable.values()),
        buffer=min(settings.buffer, settings.tokens) * d_in * size,
        forward=truncated.forward_bytes(contexts, settings.context),
        saes=sum(one.memory(batch) + (4 * batch * one.d_sae if device == "cuda" else 0) for one in stacks),
        dead=sum(4 * batch * one.d_sae for one in stacks) + max(20 * one.d_sae * d_in for one in stacks),
        # log p, log q and the three terms of their divergence; what a forward pass frees is not all given back
        evaluation=5 * 4 * scored * logits
        + 2 * truncated.forward_bytes(scored, settings.context)
        + sae_bytes(stacks, 1),
    )


def plan_line(plan: TrainPlan) -> str:
    """The forecast as a sentence."""
    shapes = ", ".join(f"f{d_sae:,} k{k}{_besides(variant)}" for d_sae, k, _, variant in plan.shapes)
    return (
        f"Training {plan.cells} SAEs ({shapes}) at {plan.hook} of {plan.model} on {', '.join(plan.corpora)}:"
        f" {format_count(plan.tokens)} tokens each, about {format_seconds(plan.seconds)} and"
        f" {format_bytes(plan.memory.total)} of memory; --dry-run says more."
    )


def _besides(variant: str) -> str:
    return "" if variant == DEFAULT else f" {variant}"


def plan_rows(plan: TrainPlan) -> list[tuple[str, ...]]:
    """The forecast as a table."""
    shapes = ", ".join(f"f{d_sae:,} k{k}{_besides(variant)} (lr {lr:.2g})" for d_sae, k, lr, variant in plan.shapes)
    unusable = ", ".join(f"{name} {count:,}" for name, count in plan.unusable.items() if count) or "none"
    memory = plan.memory
    return [
        ("model, hook", f"{plan.model}, {plan.hook}"),
        ("corpora", ", ".join(plan.corpora)),
        ("cells", f"{plan.cells}: {shapes}"),
        (
            "tokens",
            f"{format_count(plan.tokens)} of each corpus, about {format_count(plan.steps)} steps of {plan.batch:,}",
        ),
        ("tokens beyond contexts", unusable),
        ("memory: model", format_bytes(memory.model)),
        ("memory: tokens", f"about {format_bytes(memory.tokens)}"),
        ("memory: mixing buffer", f"{format_bytes(memory.buffer)} (twice while a checkpoint is written)"),
        ("memory: forward pass", f"about {format_bytes(memory.forward)}"),
        ("memory: SAEs", f"{format_bytes(memory.saes)} (weights, moments, gradients, a batch)"),
        ("memory: dead latents", f"at most {format_bytes(memory.dead)}"),
        ("memory: evaluation", f"about {format_bytes(memory.evaluation)}"),
        ("memory in all", f"about {format_bytes(memory.total)}, and what the libraries take"),
        ("disk", format_bytes(plan.disk)),
        ("FLOPs per token", f"{format_count(plan.forward_flops)} forward, {format_count(plan.sae_flops)} SAEs"),
        ("time", f"about {format_seconds(plan.seconds)} (estimate)"),
    ]
