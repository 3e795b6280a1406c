"""FLOPs of SAE training: those that must be done, those that a system does (counted), and what this machine's matmul makes.

`python -m benchmarks.training_flops WORKLOAD.json` prints the rates of dense products at the shapes of a workload.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

THREADS = 2
DEAD_TOKENS = 10_000_000
GPU_BATCH, GPU_STEPS = 16_384, 20
ENCODER = "encoder"


@dataclass(frozen=True)
class Workload:
    """What every system trains.

    Attributes:
        name: what results are stored under.
        model: `random`, a GPT-2 of the shape below with random weights, `tiny`, the embedded model, or any other by its name.
        layers, d_in, heads, vocab: of the random model.
        layer: activations enter this layer: resid_pre.
        d_sae, k: of the SAEs.
        context: tokens per context, the beginning-of-sequence token included, which is not trained on.
        contexts: trained on.
        batch_contexts: contexts whose activations make a batch.
        buffer_batches: batches that fit the mixing buffer.
        held_out: contexts that SAEs are evaluated on.
        forward_contexts: contexts per forward pass; it divides `batch_contexts`, or dictionary_learning drops activations.
        lr: peak learning rate; it rises over 5 % of the steps and falls over the last 20 %.
        dead_share: share of the tokens after which a silent latent counts as dead; None is 10 M tokens.
    """

    name: str
    model: str
    layers: int
    d_in: int
    heads: int
    vocab: int
    layer: int
    d_sae: int
    k: int
    contexts: int
    batch_contexts: int
    buffer_batches: int
    held_out: int
    forward_contexts: int = 16
    context: int = 128
    lr: float = 3e-4
    dead_share: float | None = None

    @property
    def activations(self) -> int:
        """Trained on by every cell."""
        return self.contexts * (self.context - 1)

    @property
    def batch(self) -> int:
        """Activations per step."""
        return self.batch_contexts * (self.context - 1)

    @property
    def module(self) -> str:
        """The module that the hook follows, as transformers calls it: GPT-2's, or Llama's for models with a name."""
        return f"{'transformer.h' if self.model in ('random', 'tiny') else 'model.layers'}.{self.layer - 1}"

    @property
    def buffer(self) -> int:
        """Activations in the mixing buffer."""
        return self.buffer_batches * self.batch

    @property
    def steps(self) -> int:
        """Training steps."""
        return self.contexts // self.batch_contexts

    @property
    def warmup(self) -> int:
        """Steps in which the learning rate rises."""
        return int(0.05 * self.steps)

    @property
    def decay(self) -> int:
        """Steps in which it falls."""
        return int(0.2 * self.steps)

    @property
    def dead_tokens(self) -> int:
        """Tokens after which a silent latent counts as dead."""
        return DEAD_TOKENS if self.dead_share is None else int(self.dead_share * self.activations)

    @property
    def fresh(self) -> int:
        """Contexts besides, for trainers whose buffer is never emptied."""
        return self.buffer_batches * self.batch_contexts + 2 * self.forward_contexts


def forward_flops(work: Workload) -> float:
    """Of the language model up to the hook, per activation trained on: products of weights, and attention as it is run."""
    per_token = work.layer * (24 * work.d_in**2 + 4 * work.context * work.d_in)
    return per_token * work.context / (work.context - 1)


def encoder_flops(work: Workload) -> float:
    """Of one cell's dense product, per activation."""
    return 2 * work.d_in * work.d_sae


def sparse_flops(work: Workload) -> float:
    """Of one cell's four sparse products, per activation: decode, gradients of codes, encoder rows and decoder rows."""
    return 8 * work.k * work.d_in


def must_flops(work: Workload, seeds: int) -> float:
    """What a grid cannot do without, per activation: one truncated forward pass, one dense product per cell, sparse ones."""
    return forward_flops(work) + seeds * (encoder_flops(work) + sparse_flops(work))


def roofline_seconds(work: Workload, seeds: int, rates: dict[str, float]) -> float:
    """Time of what must be done at the rates of this machine's dense products; sparse ones at the encoder's rate."""
    layer = 24 * work.d_in**2
    linear = sum(
        share * layer / rates[name]
        for name, share in {"c_attn": 1 / 4, "attn": 1 / 12, "fc": 1 / 3, "proj": 1 / 3}.items()
    )
    attention = 4 * work.context * work.d_in / max(rates.values())
    forward = work.layer * (linear + attention) * work.context / (work.context - 1)
    cells = seeds * (encoder_flops(work) + sparse_flops(work)) / rates[ENCODER]
    return work.activations * (forward + cells)


def peak_rates(work: Workload, seconds: float = 1.0) -> dict[str, float]:
    """Best FLOP/s of `torch.mm` in float32 at the shapes of the workload, each repeated for so many seconds."""
    d, tokens = work.d_in, work.forward_contexts * work.context
    shapes = {
        ENCODER: (work.batch, d, work.d_sae),
        "c_attn": (tokens, d, 3 * d),
        "attn": (tokens, d, d),
        "fc": (tokens, d, 4 * d),
        "proj": (tokens, 4 * d, d),
    }
    generator = torch.Generator().manual_seed(0)
    return {name: _rate(shape, generator, seconds) for name, shape in shapes.items()}


def _rate(shape: tuple[int, int, int], generator: torch.Generator, seconds: float) -> float:
    rows, inner, columns = shape
    left, right = (torch.randn(size, generator=generator) for size in ((rows, inner), (inner, columns)))
    out = torch.empty(rows, columns)
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until or math.isinf(best):
        began = time.perf_counter()
        torch.mm(left, right, out=out)
        best = min(best, time.perf_counter() - began)
    return 2 * rows * inner * columns / best


class Counter(TorchDispatchMode):
    """Counts the FLOPs of dense and sparse products while it is active; elementwise work is not counted.

    Attributes:
        flops: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        name = packet._qualified_op_name.removeprefix("aten::")
        if name in _FORMULAS:
            self.flops += int(_FORMULAS[name](args))
        elif packet in flop_registry:
            self.flops += int(flop_registry[packet](*args, **kwargs, out_val=out))
        return out


def _bag(weight: Tensor, indices: Tensor) -> int:
    return 2 * indices.numel() * weight.shape[1]


_FORMULAS: dict[str, Any] = {
    "_embedding_bag": lambda args: _bag(args[0], args[1]),
    "_embedding_bag_forward_only": lambda args: _bag(args[0], args[1]),
    "_embedding_bag_dense_backward": lambda args: _bag(args[0], args[1]),
    "_embedding_bag_backward": lambda args: _bag(args[0], args[1]),
    "_embedding_bag_per_sample_weights_backward": lambda args: _bag(args[1], args[2]),
    "sparse_sampled_addmm": lambda args: 2 * args[0]._nnz() * args[1].shape[1],
    "index_add_": lambda args: 2 * args[3].numel() if args[3].dim() == 2 else 0,
    "_scaled_dot_product_flash_attention_for_cpu": lambda args: sdpa_flop_count(*(a.shape for a in args[:3])),
}


def gpu(shapes: list[str], seeds: list[int]) -> None:
    """Print what ours makes of a GPU: tokens/s, share of the bf16 matmul peak, memory; and the dense reference's tokens/s.

    Random tokens; the model runs in bfloat16 up to the hook, the stack with bfloat16 products over float32 weights; the
    reference trains cell after cell in float32 on the same activations.
    """
    from benchmarks.bench_gpu import random_model
    from faithful.hooks.hook import Hook
    from faithful.hooks.truncated import TruncatedModel
    from faithful.models.presets import presets

    for name in shapes:
        preset = presets()[name]
        model = TruncatedModel(
            random_model(name, preset.shape, torch.bfloat16, "cuda"), Hook(preset.layer, "resid_pre")
        )
        rows = torch.randint(preset.shape.vocab, (GPU_BATCH // preset.context, preset.context), device="cuda")
        peak = _bf16_peak(rows.numel(), model.d_in, preset.d_sae)
        for count in seeds:
            work = Workload(
                name, "random", preset.shape.layers, model.d_in, 0, 0, preset.layer, preset.d_sae, preset.k, 1, 1, 1, 0,
                context=preset.context, lr=preset.lr,
            )  # fmt: skip
            mine, memory, theirs = _gpu_rates(work, model, rows, count)
            share = mine * must_flops(work, count) * (1 - 1 / work.context) / peak
            print(
                f"{name} S={count}: {mine:,.0f} tokens/s, {share:.0%} of {peak / 1e12:.0f} TFLOP/s bf16 (target 40 %),"
                f" {memory / 2**30:.1f} GiB; dense reference {theirs:,.0f} tokens/s, ratio {mine / theirs:.1f}"
            )


def _gpu_rates(work: Workload, model: Any, rows: Tensor, cells: int) -> tuple[float, int, float]:
    """Tokens/s of ours, its peak of allocated bytes, and tokens/s of the dense reference."""
    from faithful.sae.config import StackConfig
    from faithful.sae.stack import Stack
    from tests.dense_reference import DenseTrainer

    def activations() -> Tensor:
        found: Tensor = model(rows).flatten(0, 1)
        return found

    def one_stack() -> float:
        stack = Stack(config, mean, scale, "cuda")
        return _gpu_rate(lambda: stack.step(activations()), rows.numel(), GPU_STEPS)

    def dense_cells() -> float:
        trainers = [DenseTrainer(config, mean.cpu(), scale, cell) for cell in range(cells)]
        for trainer in trainers:
            for parameter in trainer.parameters:
                parameter.data = parameter.data.cuda()
            trainer.silent = trainer.silent.cuda()

        def step() -> None:
            x = activations()
            for trainer in trainers:
                trainer.step(x)

        return _gpu_rate(step, rows.numel(), GPU_STEPS // 4)

    mean, scale = activations().mean(0), float(activations().square().sum(1).mean().rsqrt())
    config = StackConfig(
        work.d_in, work.d_sae, work.k, tuple(range(cells)), 10 * GPU_STEPS, work.lr, DEAD_TOKENS, gemm_dtype="bfloat16"
    )
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    mine = one_stack()
    memory = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    return mine, memory, dense_cells()


def _gpu_rate(step: Callable[[], Any], amount: int, steps: int) -> float:
    """What is done per second, `amount` per step, after three steps."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return amount * steps / (time.perf_counter() - began)


def _bf16_peak(rows: int, inner: int, columns: int) -> float:
    """Best FLOP/s of a bfloat16 product at the encoder's shape."""
    left = torch.randn(rows, inner, device="cuda", dtype=torch.bfloat16)
    right = torch.randn(inner, columns, device="cuda", dtype=torch.bfloat16)
    return max(_gpu_rate(lambda: left @ right, 2 * rows * inner * columns, GPU_STEPS) for _ in range(5))


def main() -> None:
    torch.set_num_threads(THREADS)
    work = Workload(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print("RESULT" + json.dumps(peak_rates(work)))


if __name__ == "__main__":
    main()
