"""What `faithful train` is told, and what follows from it once model and corpora are known."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from faithful.options.marks import MAY_BE_MISSING, Count, Names, names

if TYPE_CHECKING:  # torch, which `--help` does without
    from faithful.activations.stream import StreamConfig
    from faithful.hooks.hook import Hook
    from faithful.models.spec import ModelSpec
    from faithful.sae.config import StackConfig
    from faithful.store.shape import Shape

DEAD_SHARE, DEAD_MOST = 0.05, 10_000_000


@dataclass(frozen=True)
class TrainConfig:
    """What the user stated; None is left to the SAEs that `out` holds of the shape, the corpora, the preset, the defaults."""

    COMMAND: ClassVar = "train"

    corpora: Annotated[tuple[Path, ...], names("--corpus"), MAY_BE_MISSING]
    """Corpus or run; repeat it. Default: the current run's.

    Every one trains the same grid.
    """
    out: Annotated[Path, MAY_BE_MISSING]
    """Folder of the SAEs; default runs/NAME/saes.

    They go to `OUT/CORPUS/HOOK-fF-kK-VARIANT/seed-S/`.
    """
    model: str | None = None
    """Preset name, Hub id, folder or GGUF file; default: the corpora's."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Init seeds: 0-5 or 0,1,42."""
    layer: int | None = None
    """Layer; default: the preset's."""
    hook: str = "resid_pre"
    """resid_pre, resid_post, attn_out or mlp_out."""
    d_sae: tuple[int, ...] = ()
    """Latents; a list makes a grid. Default: the preset's."""
    k: tuple[int, ...] = ()
    """Active latents; a list makes a grid, of all pairs with the latents. Default: the preset's."""
    lr: float | None = None
    """Learning rate; default: as the SAEs there, else the preset's.

    The preset's is scaled by 1/√d_sae; without one it is 2e-4/√(d_sae/2^14).
    """
    tokens: Count | None = None
    """Stored tokens per corpus; default: as the SAEs there, else one pass, at most the preset's.

    One pass is over the smallest corpus.
    """
    epochs: float | None = None
    """Passes over the smallest corpus, in place of --tokens."""
    context: int | None = None
    """Tokens per context, BOS included; default: as the SAEs there, else the preset's."""
    layout: str = "aligned"
    """aligned or packed."""
    data_seed: int = 0
    """Of the order of the data, the same for all cells."""
    batch: int | None = None
    """Activations per step; default: as the SAEs there, else a power of two for 1,024 steps or more, 256 to 4,096."""
    buffer: int | None = None
    """Activations kept for mixing; default: as the SAEs there, else 32 batches."""
    drop_outliers: bool = False
    """Leave out activations with more than 10 × the median norm."""
    dtype: str | None = None
    """Type the model runs in; default: float32 on a CPU, else the preset's."""
    load: str | None = field(default=None, kw_only=True)
    """full, 8bit or 4bit; default: as the model's own corpus was sampled.

    A model that is quantised is another one: its SAEs, and their card, say so.
    """
    shard_model: bool = field(default=False, kw_only=True)
    """Spread the model's layers over all GPUs of this machine, for one that does not fit on one; in one process."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""
    eval_tokens: Count | None = None
    """Held-out tokens to evaluate on; default 20k on a CPU, 200k on a GPU."""
    eval_every: Count | None = None
    """Tokens between looks at fvu, l0 and silent latents on held-out text, while it trains; default: none.

    In the table (behind a stroke), train.jsonl and the report; about 100 times at most, and no weight changes by it.
    """
    workers: int | None = None
    """Processes, one per GPU; default 1, of a cluster all. Each takes corpora, shapes or seeds."""
    threads: int | None = None
    """CPU threads per process; default: the cores."""
    deterministic: bool = False
    """No atomics on a GPU (a CPU has none)."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints."""
    log: str = "none"
    """none, wandb, trackio or tensorboard, beside train.jsonl."""
    variant: Names = ("topk",)
    """What is done otherwise than TopK, by name; repeat it for a grid."""
    settings: Annotated[tuple[str, ...], names("--set")] = ()
    """Of a variant, VARIANT.NAME=VALUE; repeat it. Values with commas make a grid."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a grid's weights, the same for all its cells.

    Attributes:
        model: the resolved model.
        hook: where activations are taken.
        context, layout, tokens, epochs, data_seed, batch, buffer, drop_outliers: see `TrainConfig`; `tokens` counts all
            epochs, and `epochs` is 1 where none were asked for.
        shapes: widths, ks and variants, each with each.
        lrs: learning rate of each shape.
        seeds: init seeds.
        deterministic: see `TrainConfig`.
        gemm_dtype: of the SAEs' dense products: `bfloat16` on a GPU, None (float32) on a CPU.
    """

    model: "ModelSpec"
    hook: "Hook"
    context: int
    layout: str
    tokens: int
    epochs: float
    data_seed: int
    batch: int
    buffer: int
    drop_outliers: bool
    shapes: tuple["Shape", ...]
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    deterministic: bool
    gemm_dtype: str | None

    @property
    def stream(self) -> "StreamConfig":
        """What every corpus is read as."""
        from faithful.activations.stream import StreamConfig

        shared = {field.name for field in fields(StreamConfig)} & {field.name for field in fields(self)}
        return StreamConfig(**{name: getattr(self, name) for name in shared})

    def stack(self, d_in: int, shape: "Shape", init_seeds: tuple[int, ...], steps: int) -> "StackConfig":
        """How the cells of one shape train."""
        from faithful.sae.config import StackConfig

        return StackConfig(
            d_in=d_in,
            d_sae=shape.d_sae,
            k=shape.k,
            init_seeds=init_seeds,
            steps=steps,
            lr=self.lrs[self.shapes.index(shape)],
            dead_tokens=max(1, min(DEAD_MOST, int(DEAD_SHARE * self.tokens))),
            deterministic=self.deterministic,
            gemm_dtype=self.gemm_dtype,
            variant=shape.variant,
        )
