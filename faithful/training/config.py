"""What `faithful train` is told, and what follows from it once model and corpora are known."""

from dataclasses import dataclass, fields
from pathlib import Path

from faithful.activations.stream import StreamConfig
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.sae.config import StackConfig
from faithful.sae.variant import DEFAULT, Variant

DEAD_SHARE, DEAD_MOST = 0.05, 10_000_000
SEEDS = (0, 1, 2, 3, 4, 5)


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
        variant: what is done otherwise than TopK, by name; its parameters as `NAME=VALUE`.
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
    variant: str = DEFAULT
    parameters: tuple[str, ...] = ()


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
        deterministic: see `TrainConfig`.
        gemm_dtype: of the SAEs' dense products: `bfloat16` on a GPU, None (float32) on a CPU.
        variant: with its parameters.
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
    variant: Variant

    @property
    def stream(self) -> StreamConfig:
        """What every corpus is read as."""
        shared = {field.name for field in fields(StreamConfig)} & {field.name for field in fields(self)}
        return StreamConfig(**{name: getattr(self, name) for name in shared})

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
            variant=self.variant,
        )
