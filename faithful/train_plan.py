"""What a training will take, before a weight is loaded: memory, arithmetic, time."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from faithful.activations import FORWARD_TOKENS
from faithful.catalog import Shape
from faithful.model import shape_of
from faithful.quantities import format_bytes, format_count, format_seconds
from faithful.token_rows import Plan
from faithful.train_config import Settings, TrainConfig, settle

CPU_FLOPS_PER_THREAD = 3e10
GPU_FLOPS, GPU_SHARE = 990e12, 0.4
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class TrainPlan:
    """A forecast; times are estimates from FLOPs.

    Attributes:
        model, hook, corpora, cells: what would be trained; `cells` over all corpora.
        shapes: (d_sae, k, lr).
        tokens, unusable: stored tokens per corpus, and those beyond the contexts, by corpus.
        steps, batch: about so many steps per corpus.
        forward_flops, sae_flops: per token: the truncated forward pass, and all SAEs of a corpus.
        weight_bytes, buffer_bytes, forward_bytes, sae_bytes: memory of one process; that of the SAEs with the copies of a
            batch.
        seconds: estimated, all corpora.
    """

    model: str
    hook: str
    corpora: list[str]
    cells: int
    shapes: list[tuple[int, int, float]]
    tokens: int
    unusable: dict[str, int]
    steps: int
    batch: int
    forward_flops: float
    sae_flops: float
    weight_bytes: int
    buffer_bytes: int
    forward_bytes: int
    sae_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def plan_training(config: TrainConfig) -> TrainPlan:
    """Forecast a training from the model's shape and the corpora's manifests.

    Raises:
        FaithfulError: as `settle`.
    """
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return forecast(*settle(config, device), device)


def forecast(settings: Settings, usable: dict[Path, Plan], device: str) -> TrainPlan:
    """Forecast what `settle` found.

    Memory is that of one process that trains all shapes. A forward pass holds about eight activations per token.
    """
    shape = shape_of(settings.model)
    forward = forward_flops(shape, settings)
    seeds = len(settings.seeds)
    sae = sum(seeds * sae_flops(shape.d_model, d_sae, k) for d_sae, k in settings.shapes)
    rate = GPU_FLOPS * GPU_SHARE if device == "cuda" else CPU_FLOPS_PER_THREAD * torch.get_num_threads()
    stacks = [settings.stack(shape.d_model, *pair, settings.seeds, 1) for pair in settings.shapes]
    size = BYTES[settings.model.dtype]
    return TrainPlan(
        model=settings.model.name,
        hook=settings.hook.name,
        corpora=[folder.resolve().name for folder in usable],
        cells=len(usable) * seeds * len(settings.shapes),
        shapes=[(d_sae, k, lr) for (d_sae, k), lr in zip(settings.shapes, settings.lrs, strict=True)],
        tokens=settings.tokens,
        unusable={folder.resolve().name: plan.unusable for folder, plan in usable.items()},
        steps=settings.tokens // settings.batch,
        batch=settings.batch,
        forward_flops=forward,
        sae_flops=sae,
        weight_bytes=shape.params * size,
        buffer_bytes=settings.buffer * shape.d_model * size,
        forward_bytes=FORWARD_TOKENS[device[:4]] * 8 * shape.d_model * size,
        sae_bytes=sum(stack.memory(settings.batch) for stack in stacks),
        seconds=len(usable) * settings.tokens * (forward + sae) / rate,
    )


def forward_flops(shape: Shape, settings: Settings) -> float:
    """FLOPs per token of the layers up to the hook: two per weight of theirs, and attention over half a context."""
    embeddings = shape.vocab * shape.d_model
    per_layer = max(shape.params - embeddings, 0) / shape.layers
    layers = settings.hook.layer + (0 if settings.hook.kind == "resid_pre" else 1)
    return layers * (2 * per_layer + 2 * settings.context * shape.d_model)


def sae_flops(d_in: int, d_sae: int, k: int) -> float:
    """FLOPs per token of one sparse step: the dense encoder product, and 8·k·d for the active latents."""
    return 2.0 * d_in * d_sae + 8.0 * k * d_in


def plan_rows(plan: TrainPlan) -> list[tuple[str, ...]]:
    """The forecast as a table."""
    shapes = ", ".join(f"f{d_sae:,} k{k} (lr {lr:.2g})" for d_sae, k, lr in plan.shapes)
    unusable = ", ".join(f"{name} {count:,}" for name, count in plan.unusable.items() if count) or "none"
    return [
        ("model, hook", f"{plan.model}, {plan.hook}"),
        ("corpora", ", ".join(plan.corpora)),
        ("cells", f"{plan.cells}: {shapes}"),
        ("tokens", f"{plan.tokens:,} of each corpus, about {plan.steps:,} steps of {plan.batch:,}"),
        ("tokens beyond contexts", unusable),
        ("memory: model", format_bytes(plan.weight_bytes)),
        ("memory: mixing buffer", format_bytes(plan.buffer_bytes)),
        ("memory: forward pass", f"about {format_bytes(plan.forward_bytes)}"),
        ("memory: SAEs", f"{format_bytes(plan.sae_bytes)} (weights, moments, gradients, a batch)"),
        ("FLOPs per token", f"{format_count(plan.forward_flops)} forward, {format_count(plan.sae_flops)} SAEs"),
        ("time", f"about {format_seconds(plan.seconds)} (estimate)"),
    ]
