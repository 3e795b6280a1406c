"""What each step of a recipe would take: tokens, arithmetic and time, from the model's shape alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from faithful.base.devices import known_device
from faithful.base.quantities import format_bytes, format_count, format_seconds
from faithful.models.load import shape_of
from faithful.models.presets import DEFAULT_CONTEXT, DEFAULT_TOKENS, Shape, sae_defaults
from faithful.models.spec import resolve_model
from faithful.sae.config import StackConfig
from faithful.training.config import TrainConfig
from faithful.training.evaluate import default_eval_tokens
from faithful.training.forecast import SHARED_PASSES, device_flops, sae_bytes
from faithful.training.settings import LARGEST_BATCH
from faithful.training.variants import variants_of
from generation.configs.generate import GenerateConfig
from generation.own.dry_run import dry_run
from generation.own.forecast import BYTES, bytes_on_disk
from studies.catalog import find_study
from studies.common.forecast import Work
from studies.runs.recipe_file import CorpusPlan, Recipe

READ_RATE = 200_000
COST_HEADER = ("step", "time (estimate)", "memory", "disk", "tokens", "FLOPs")


@dataclass(frozen=True)
class Cost:
    """A forecast of one step; times are estimates.

    Attributes:
        step: its name.
        tokens: that a model reads or writes, or that are read from a source.
        flops: floating-point operations; 0 where nothing is computed to speak of.
        seconds: on this machine or the assumed GPU, downloads left out.
        memory: bytes of a process on the device, its libraries left out; 0 where no model is loaded.
        disk: bytes written.
        done: whether it is done already and takes nothing.
    """

    step: str
    tokens: int
    flops: float
    seconds: float
    memory: int = 0
    disk: int = 0
    done: bool = False


def costs(
    recipe: Recipe, folder: Path, device: str | None = None, done: Collection[str] = (), assume: str | None = None
) -> list[Cost]:
    """Forecast every step of a recipe; a preset's shape needs no network.

    Args:
        recipe: what to do.
        folder: `runs/NAME`.
        device: `cpu` or `cuda`, here or elsewhere; by default what the machine has.
        done: steps that are done (`studies.runs.recipe.done_steps`).
        assume: a GPU by its short name, in place of what the machine has.

    Raises:
        FaithfulError: a model or a GPU that is not known.
    """
    stated, device = ("cuda", "cuda") if assume else (device, known_device(device))
    rate = device_flops(device, assume)
    preset = recipe.preset
    shape = preset.shape if preset else shape_of(resolve_model(recipe.model, device=device))
    tokens = recipe.tokens or (preset.tokens if preset else DEFAULT_TOKENS)
    found = [_corpus(recipe, corpus, folder, stated, tokens, assume, shape) for corpus in recipe.corpora]
    work, stacks, weights = _work(recipe, shape, tokens, device)
    training, on_disk = sum(stack.memory(LARGEST_BATCH) for stack in stacks), sae_bytes(stacks, work.trained)
    smallest = min(recipe.most(corpus) or tokens for corpus in recipe.corpora if corpus.train)
    epochs = recipe.train.get("epochs")
    each = (
        epochs * smallest
        if epochs
        else min(smallest, recipe.training_tokens or (preset.tokens if preset else smallest))
    )
    read = work.trained * int(each)
    evaluated = (work.saes + SHARED_PASSES * work.trained) * (
        recipe.train.get("eval_tokens") or default_eval_tokens(device)
    )
    flops = read * (work.forward + work.step) + evaluated * (work.full - work.forward)
    found.append(Cost("train", read, flops, flops / rate, weights + training, on_disk))
    for name, values in recipe.studies.items():
        study = find_study(name)
        config = study.config(out=folder, **{"saes" if study.of_saes else "folders": ()} | values)
        cost = study.cost(config, work)
        memory = weights + (on_disk if study.of_saes else 0)
        found.append(Cost(f"study {name}", cost.tokens, cost.flops, cost.flops / rate + cost.seconds, memory))
    found.append(Cost("report", 0, 0.0, 2.0))
    return [Cost(one.step, 0, 0.0, 0.0, done=True) if one.step in done else one for one in found]


def cost_rows(found: Sequence[Cost]) -> list[tuple[str, ...]]:
    """The forecast as a table, with its sum."""
    rows = [
        (
            one.step,
            "done" if one.done else format_seconds(one.seconds),
            format_bytes(one.memory) if one.memory else "–",
            format_bytes(one.disk) if one.disk else "–",
            format_count(one.tokens) if one.tokens else "–",
            format_count(one.flops) if one.flops else "–",
        )
        for one in found
    ]
    total = (
        "all",
        format_seconds(sum(one.seconds for one in found)),
        f"{format_bytes(max(one.memory for one in found))} at most",
        format_bytes(sum(one.disk for one in found)),
        "",
        format_count(sum(one.flops for one in found)),
    )
    return [*rows, total]


def _corpus(
    recipe: Recipe, corpus: CorpusPlan, folder: Path, device: str | None, tokens: int, assume: str | None, shape: Shape
) -> Cost:
    wanted = recipe.most(corpus) or tokens
    step = f"corpus {corpus.name}"
    if corpus.how != "generate":
        return Cost(step, wanted, 0.0, wanted / READ_RATE, disk=bytes_on_disk(wanted, shape.vocab))
    values = {"device": device, "tokens": wanted} | corpus.options
    plan = dry_run(GenerateConfig(model=recipe.model, out=folder / "corpora" / corpus.name, **values), assume)
    missing = max(0, wanted - plan.existing_tokens)
    return Cost(step, missing, 2.0 * shape.params * missing, plan.seconds, plan.memory_bytes, plan.disk_bytes)


def _work(recipe: Recipe, shape: Shape, tokens: int, device: str) -> tuple[Work, list[StackConfig], int]:
    """What the training and the studies work on, the stacks of SAEs that one corpus has, and the bytes of the model."""
    train, default = recipe.train, recipe.preset or sae_defaults(shape.layers, shape.d_model)
    layer = train.get("layer", default.layer)
    widths, ks = train.get("d_sae") or (default.d_sae,), train.get("k") or (default.k,)
    variants = variants_of(recipe.grid.get("variant", TrainConfig.variant), recipe.grid.get("settings", ()))
    stacks = [
        StackConfig(shape.d_model, d_sae, k, tuple(recipe.seeds), steps=1, lr=0.0, dead_tokens=1, variant=variant)
        for d_sae in widths
        for k in ks
        for variant in variants
    ]
    below = max(shape.params - shape.vocab * shape.d_model, 0) * layer / shape.layers
    work = Work(
        device=device,
        context=train.get("context", recipe.preset.context if recipe.preset else DEFAULT_CONTEXT),
        tokens=tokens,
        batch=LARGEST_BATCH,
        corpora=len(recipe.corpora),
        trained=sum(corpus.train for corpus in recipe.corpora),
        seeds=len(recipe.seeds),
        d_model=shape.d_model,
        shapes=tuple((stack.d_sae, stack.k) for stack in stacks),
        full=2.0 * shape.params,
        forward=2.0 * below,
        step=float(sum(stack.flops(1) for stack in stacks)),
    )
    return work, stacks, shape.params * BYTES[recipe.preset.dtype if recipe.preset and device == "cuda" else "float32"]
