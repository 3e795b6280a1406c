"""What each step of a recipe would take: tokens, arithmetic and time, from the model's shape alone."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faithful.base.devices import known_device
from faithful.base.quantities import format_bytes, format_count, format_seconds
from faithful.models.load import shape_of
from faithful.models.presets import DEFAULT_CONTEXT, Shape, find_preset, sae_defaults
from faithful.models.spec import resolve_model
from faithful.sae.config import StackConfig
from faithful.training.forecast import device_flops, sae_bytes, sae_flops
from faithful.training.settings import LARGEST_BATCH
from generation.own.dry_run import dry_run
from generation.own.forecast import BYTES, bytes_on_disk
from generation.own.prepare import GenerateConfig
from studies.catalog import find_study
from studies.common.sizes import (
    FAKES_NOISE_PASSES,
    FAKES_PANEL_PASSES,
    GAUSSIAN_SEEDS,
    PANEL_TOKENS,
    PROBE_EXAMPLES,
    PROBE_TESTS,
    default_size,
    noise_tokens,
)
from studies.runs.recipe_file import CorpusPlan, Recipe

READ_RATE = 200_000
REFERENCE_TOKENS = 50_000
SCORED_TOKENS = {"cpu": 100_000, "cuda": 1_000_000}
TASKS = 4
ASSIGNMENTS = 3
"""How many are solved for a pair of SAEs: for all decoder rows, those that fire, and the encoder rows."""
ASSIGNMENT_SECONDS = 10 / 18_432**2
"""Per pair of latents, on the CPU on any device, beside the product: 10 s for 18,432² (`benchmarks/bench_matching.py`)."""
PROBE_SECONDS, PROBE_ENTRY_SECONDS = 0.03, 1e-7
"""Of a probe with its cross-validation, and per entry of its features, on the CPU on any device: 0.03 s for 256 × 512, 1.1 s
for 1,000 × 12,288 (`benchmarks/bench_probes.py`)."""
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


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
    preset = find_preset(recipe.model)
    shape = preset.shape if preset else shape_of(resolve_model(recipe.model, device=device))
    rule = sae_defaults(shape.layers, shape.d_model)
    tokens = recipe.tokens or (preset.tokens if preset else 0)
    found = [_corpus(recipe, corpus, folder, stated, tokens, assume, shape.vocab) for corpus in recipe.corpora]
    work = _Work(recipe, shape, preset, rule, device)
    for name, (read, flops) in work.steps(tokens).items():
        memory, disk = work.bytes_of(name)
        found.append(Cost(name, read, flops, flops / rate + work.solving.get(name, 0.0), memory, disk))
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
    recipe: Recipe, corpus: CorpusPlan, folder: Path, device: str | None, tokens: int, assume: str | None, vocab: int
) -> Cost:
    wanted = int(corpus.options.get("tokens") or tokens)
    step = f"corpus {corpus.name}"
    if corpus.how != "generate":
        return Cost(step, wanted, 0.0, wanted / READ_RATE, disk=bytes_on_disk(wanted, vocab))
    values = {"device": device, "tokens": wanted} | corpus.options
    plan = dry_run(GenerateConfig(model=recipe.model, out=folder / "corpora" / corpus.name, **values), assume)
    preset = find_preset(recipe.model)
    size, missing = preset.shape.params if preset else 0, max(0, wanted - plan.existing_tokens)
    return Cost(step, missing, 2.0 * size * missing, plan.seconds, plan.memory_bytes, plan.disk_bytes)


class _Work:
    """Arithmetic of what reads activations: per token two FLOPs per weight, and the SAEs'."""

    def __init__(self, recipe: Recipe, shape: Shape, preset: Any, rule: Any, device: str) -> None:
        train = recipe.train
        layer = train.get("layer", preset.layer if preset else int(rule["layer"]))
        widths = train.get("d_sae") or (preset.d_sae if preset else int(rule["d_sae"]),)
        ks = train.get("k") or (preset.k if preset else int(rule["k"]),)
        self.recipe, self.device = recipe, device
        self.trained = sum(corpus.train for corpus in recipe.corpora)
        self.context = train.get("context", preset.context if preset else DEFAULT_CONTEXT)
        self.full = 2.0 * shape.params
        self.weights = shape.params * BYTES[preset.dtype if preset and device == "cuda" else "float32"]
        below = max(shape.params - shape.vocab * shape.d_model, 0) * layer / shape.layers
        self.forward = 2.0 * below
        seeds = len(recipe.seeds)
        self.shapes = [(d_sae, k) for d_sae in widths for k in ks]
        stacks = [
            StackConfig(shape.d_model, *one, tuple(recipe.seeds), steps=1, lr=0.0, dead_tokens=1) for one in self.shapes
        ]
        self.training = sum(stack.memory(LARGEST_BATCH) for stack in stacks)
        self.on_disk = sae_bytes(stacks, self.trained)
        self.saes = self.trained * seeds * len(self.shapes)
        self.step = sum(seeds * sae_flops(shape.d_model, d_sae, k) for d_sae, k in self.shapes)
        self.encode = self.trained * sum(seeds * 2.0 * shape.d_model * d_sae for d_sae, _ in self.shapes)
        within = self.trained * seeds * (seeds - 1) // 2
        across = self.trained * (self.trained - 1) // 2 * seeds * (seeds - 1)
        squares = [d_sae**2 for d_sae, _ in self.shapes]
        assigned = ASSIGNMENTS * (within + across) * sum(squares)
        self.match = 2.0 * assigned * shape.d_model
        self.solving = {"study seeds": assigned * ASSIGNMENT_SECONDS, "study probes": self._probes(shape.d_model)}

    def bytes_of(self, step: str) -> tuple[int, int]:
        """Bytes in memory and written by the training or a study: the model, and the SAEs that are trained or read."""
        if step == "train":
            return self.weights + self.training, self.on_disk
        return self.weights + (self.on_disk if step != "study corpora" else 0), 0

    def _gaussian(self, values: dict[str, Any], tokens: int) -> float:
        """FLOPs of the SAEs trained on Gaussian activations: as long as those of the corpora, unless steps are stated."""
        cells = self.trained * min(int(values.get("gaussian_seeds", GAUSSIAN_SEEDS)), len(self.recipe.seeds))
        steps = values.get("gaussian_steps")
        read = min(tokens, int(steps) * LARGEST_BATCH) if steps else tokens
        return cells * read * self.step / len(self.recipe.seeds)

    def _probes(self, d_model: int) -> float:
        """Seconds of fitting: on codes and reconstructions at every size of the curve, on few codes with all examples."""
        config, values = find_study("probes").config, self.recipe.studies.get("probes", {})
        examples = int(values.get("train_size") or default_size(PROBE_EXAMPLES, self.device))
        points, few = int(values.get("curve_points") or config.curve_points), len(values.get("ks") or config.ks)
        sizes = [examples / 4**point for point in range(points)]
        fits = self.trained * len(self.recipe.seeds) * len(values.get("tasks") or range(TASKS))
        entries = sum(sum(sizes) * (d_sae + d_model) for d_sae, _ in self.shapes)
        return fits * (PROBE_ENTRY_SECONDS * entries + PROBE_SECONDS * len(self.shapes) * (2 * points + few))

    def steps(self, tokens: int) -> dict[str, tuple[int, float]]:
        """Tokens read and FLOPs of the training and of each study."""
        found = {"train": (self.trained * tokens, self.trained * tokens * (self.forward + self.step))}
        for name, values in self.recipe.studies.items():
            panel = int(values.get("tokens") or default_size(PANEL_TOKENS, self.device))
            noise = int(values.get("noise_tokens") or noise_tokens(self.device, self.context))
            texts = int(values.get("train_size") or default_size(PROBE_EXAMPLES, self.device))
            texts += int(values.get("test_size") or default_size(PROBE_TESTS, self.device))
            read = {
                "corpora": len(self.recipe.corpora) * int(values.get("tokens") or SCORED_TOKENS[self.device])
                + REFERENCE_TOKENS,
                "seeds": panel,
                "fakes": FAKES_PANEL_PASSES * panel + FAKES_NOISE_PASSES * noise,
                "reconstruction": panel,
                "probes": len(values.get("tasks") or range(TASKS)) * texts * self.context,
            }[name]
            levels = len(values.get("ks") or (1, 2, 4)) if name == "reconstruction" else 1
            flops = {
                "corpora": read * self.full,
                "seeds": read * (self.forward + self.encode) + self.match + self._gaussian(values, tokens),
                "fakes": read * (self.forward + self.encode),
                "reconstruction": read * (levels * self.saes + 3) * (self.full - self.forward) + read * self.encode,
                "probes": read * (self.forward + self.encode),
            }[name]
            found[f"study {name}"] = (read, flops)
        return found
