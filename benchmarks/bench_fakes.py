"""Counting fake features as a share of the forward-pass limit: `python -m benchmarks.bench_fakes [--saes 1 6]`.

A GPT-2 of the small shape with random weights, residual stream before layer 8, TopK SAEs of 12,288 latents with k 16, random
tokens in contexts of 128. Timed in turns: the truncated forward pass alone over all contexts, and the study's pass over them
(forward, codes of every SAE, counters of all rules with their bootstrap). Printed: tokens/s, the share of the forward pass'
rate, and the share that the arithmetic alone would leave (encoders: 2·d_in·d_sae per token and SAE). About three minutes on
two cores.
"""

import argparse
import time
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.shared import machine

LAYERS, LAYER, D_IN, HEADS, VOCAB, CONTEXT = 12, 8, 768, 12, 50_257, 128
K = 16


def truncated_model() -> Any:
    """GPT-2 small up to the hook, random weights."""
    from transformers import AutoModelForCausalLM, GPT2Config

    from faithful.hooks.hook import Hook
    from faithful.hooks.truncated import TruncatedModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCAB, n_embd=D_IN, n_layer=LAYERS, n_head=HEADS)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    return TruncatedModel(model, Hook(LAYER, "resid_pre"))


def random_sae(seed: int, d_sae: int) -> Any:
    """A TopK SAE as it is before training."""
    from faithful.sae.stack import init_weights
    from faithful.sae.topk import TopKSAE

    rows = init_weights(seed, D_IN, d_sae)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, torch.zeros(D_IN), K)


@torch.no_grad()
def forward_alone(model: Any, rows: list[np.ndarray], ordinary: np.ndarray) -> None:
    """What the study cannot do without."""
    from studies.common.codes import activations_of

    for _ in activations_of(model, rows, ordinary):
        pass


@torch.no_grad()
def count(model: Any, saes: list[Any], rows: list[np.ndarray], ordinary: np.ndarray) -> None:
    """The study's pass over a text, by its own function."""
    from faithful.base.progress import uncounted
    from studies.fakes.counts import FakeCounts
    from studies.fakes.rules import QUANTILES

    panel = SimpleNamespace(ordinary=ordinary)
    study: Any = SimpleNamespace(seed=0, panel=panel, _resampled=(), _rows=lambda read: rows)
    thresholds = [torch.zeros(2 + len(QUANTILES), sae.d_sae) for sae in saes]
    FakeCounts._count(study, model, saes, thresholds, "random tokens", uncounted)


def timed(work: Any, *arguments: Any) -> float:
    """Seconds."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saes", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--d-sae", type=int, default=12_288)
    parser.add_argument("--contexts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(machine(), f"{torch.get_num_threads()} threads")
    model = truncated_model()
    draw = np.random.default_rng(0)
    rows = list(draw.integers(1, VOCAB, (args.contexts, CONTEXT)))
    ordinary = np.ones(VOCAB, bool)
    tokens = args.contexts * CONTEXT
    saes = [random_sae(seed, args.d_sae) for seed in range(max(args.saes))]
    forward_alone(model, rows[:32], ordinary)
    limits: list[float] = []
    spent: dict[int, list[float]] = {number: [] for number in args.saes}
    for _ in range(args.rounds):
        limits.append(timed(forward_alone, model, rows, ordinary))
        for number in args.saes:
            spent[number].append(timed(count, model, saes[:number], rows, ordinary))
    limit = median(limits)
    print(
        f"forward pass alone: {tokens / limit:,.0f} tokens/s ({tokens / max(limits):,.0f} to {tokens / min(limits):,.0f})"
    )
    forward_flops = LAYER * (24 * D_IN**2 + 2 * CONTEXT * D_IN)
    for number, seconds in spent.items():
        shares = sorted(one / other for one, other in zip(limits, seconds, strict=True))
        possible = forward_flops / (forward_flops + number * 2 * D_IN * args.d_sae)
        print(
            f"{number} SAEs: {tokens / median(seconds):,.0f} tokens/s, {median(shares):.2f} of the forward pass' rate"
            f" ({shares[0]:.2f} to {shares[-1]:.2f}); the encoders' arithmetic alone would leave {possible:.2f}"
        )


if __name__ == "__main__":
    main()
