"""Sampling on a GPU: tokens/s and share of the memory-bandwidth limit, random weights (a few minutes).

`python -m benchmarks.bench_gpu [--shapes gpt2 pythia-1.4b] [--device cuda]`: the transformers engine, full batches, T 1.
Limit: a decoding step must read every weight once and each sample's key–value cache, so tokens/s ≤
B · bandwidth / (weight bytes + B · mean length · KV bytes); the bandwidth is measured here by copying 1 GiB.
The core needs torch, transformers, numpy and pyarrow only, so this runs where vLLM and datasets are missing.
"""

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks.shared import machine
from faithful.models.presets import Shape, presets
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine

CONTEXTS = {"gpt2": 128, "pythia-1.4b": 512}


def random_model(name: str, shape: Shape, dtype: torch.dtype, device: str) -> Any:
    """A causal LM of the preset's shape with random weights."""
    from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig

    heads = shape.d_model // shape.head_dim
    if name == "gpt2":
        config: Any = GPT2Config(n_embd=shape.d_model, n_layer=shape.layers, n_head=heads, vocab_size=shape.vocab)
    else:
        config = GPTNeoXConfig(
            hidden_size=shape.d_model,
            num_hidden_layers=shape.layers,
            num_attention_heads=heads,
            intermediate_size=4 * shape.d_model,
            vocab_size=shape.vocab,
            max_position_embeddings=shape.positions,
        )
    with torch.device(device):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def bandwidth(device: str, repeats: int = 10) -> float:
    """Bytes per second read and written by a large copy; best of several."""
    source = torch.empty(2**28, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = max(best, 2 * source.numel() * 4 / (time.perf_counter() - began))
    return best


def bench(name: str, shape: Shape, device: str, batch: int, repeats: int, rounds: int) -> dict[str, float]:
    """Median tokens/s over repetitions, and the limit."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = random_model(name, shape, dtype, device)
    longest = CONTEXTS.get(name, 128) - 1
    sampling = Sampling(max_tokens=longest, mode="streams")
    spec = ModelSpec(
        name=name, source=name, revision="random", dtype=str(dtype).removeprefix("torch."), bos_id=0, bos_from="--bos",
        eos_ids=(0,), vocab_size=shape.vocab, mapped=shape.vocab, positions=shape.positions, tokenizer_sha256="",
        generation_config={}, licence=None, language=None, family=name,
    )  # fmt: skip
    engine = TransformersEngine(model, spec, sampling, batch)
    rates = []
    for repeat in range(repeats + 1):
        requests = (Request(i, sample_seed(repeat, "bench", i)) for i in range(batch * rounds))
        _wait(device)
        began = time.perf_counter()
        tokens = sum(len(sample.token_ids) for sample in engine.run(requests))
        _wait(device)
        if repeat:
            rates.append(tokens / (time.perf_counter() - began))
    size = torch.finfo(dtype).bits // 8
    weights = sum(p.numel() for p in model.parameters()) * size
    step = weights + batch * longest / 2 * shape.kv_bytes_per_token(size)
    return {
        "rate": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "limit": batch * bandwidth(device) / step,
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["gpt2", "pythia-1.4b"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="samples per slot")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here; this benchmark needs one (--device cpu runs it slowly all the same).")
    print(machine(), torch.cuda.get_device_name() if args.device == "cuda" else "")
    for name in args.shapes:
        found = bench(name, presets()[name].shape, args.device, args.batch, args.repeats, args.rounds)
        print(
            f"{name}: {found['rate']:,.0f} tokens/s ({found['low']:,.0f} to {found['high']:,.0f}), "
            f"{found['rate'] / found['limit']:.0%} of the bandwidth limit of {found['limit']:,.0f}"
        )


if __name__ == "__main__":
    main()
