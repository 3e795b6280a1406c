"""Sampling throughput beside the named peers, in one run, as ratios (about 6 minutes on 2 cores; --model: of another model).

vLLM: our rolling feed beside raw `vllm.LLM.generate` on the same requests, same engine, same process (target ≥ 0.95).
transformers: our engine beside a plain `model.generate` loop with the same batch, documents of mixed length (target ≥ 1.5).
Each pair is run in turn, A B A B …, and the median ratio and its range are printed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.shared import machine
from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request
from generation.sampling.seeds import sample_seed

OWN = Sampling(max_tokens=127)


def paired(ours: Callable[[int], int], theirs: Callable[[int], int], repeats: int) -> dict[str, float]:
    """Tokens/s of both, alternately; each call gets the number of its repetition and returns its tokens."""
    ours(0), theirs(0)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(1, repeats + 1):
        for name, function in (("ours", ours), ("theirs", theirs)):
            began = time.perf_counter()
            tokens = function(repeat)
            rates[name].append(tokens / (time.perf_counter() - began))
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    return {
        "ours": statistics.median(rates["ours"]),
        "theirs": statistics.median(rates["theirs"]),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def requests(repeat: int, count: int) -> list[Request]:
    """The same requests for both sides of a repetition."""
    return [Request(i, sample_seed(repeat, "bench", i)) for i in range(count)]


def bench_transformers(model_name: str, count: int, batch: int, repeats: int) -> dict[str, float]:
    """Our transformers engine beside `model.generate`, one thread."""
    import torch

    from generation.sampling.transformers_engine import TransformersEngine

    torch.set_num_threads(1)
    spec = resolve_model(model_name)
    model = load_model(spec, "cpu")
    engine = TransformersEngine(model, spec, OWN, batch)

    def ours(repeat: int) -> int:
        return sum(len(row.token_ids) for row in engine.run(iter(requests(repeat, count))))

    def theirs(repeat: int) -> int:
        torch.manual_seed(repeat)
        tokens = 0
        for begin in range(0, count, batch):
            prompt = torch.full((min(batch, count - begin), 1), spec.bos_id)
            rows = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                max_new_tokens=127, eos_token_id=list(spec.eos_ids), pad_token_id=spec.vocab_size - 1,
            )[:, 1:]  # fmt: skip
            is_end = torch.isin(rows, torch.tensor(spec.eos_ids))
            ended = is_end.cumsum(1)
            tokens += int(((ended == 0) | ((ended == 1) & is_end)).sum())
        return tokens

    return paired(ours, theirs, repeats)


def bench_vllm(model_name: str, count: int, slots: int, repeats: int) -> dict[str, float]:
    """Our rolling feed beside `LLM.generate`, same engine object, one thread (run in a process of its own)."""
    from generation.sampling.vllm_engine import VllmEngine, sampling_params, set_environment

    settings = EngineSettings("vllm", "cpu", 1, slots, 512, False)
    set_environment(settings)
    spec = resolve_model(model_name)
    engine = VllmEngine(spec, OWN, settings)

    def ours(repeat: int) -> int:
        return sum(len(row.token_ids) for row in engine.run(iter(requests(repeat, count))))

    def theirs(repeat: int) -> int:
        wanted = requests(repeat, count)
        prompts = [{"prompt_token_ids": [spec.bos_id]} for _ in wanted]
        outputs = engine.llm.generate(prompts, [sampling_params(OWN, spec, r.seed) for r in wanted], use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    return paired(ours, theirs, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("vllm", "transformers"))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--batch", type=int, help="sequences in flight (default 256 for vLLM, 64 for transformers)")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.only:
        bench = bench_vllm if args.only == "vllm" else bench_transformers
        batch = args.batch or (256 if args.only == "vllm" else 64)
        print("RESULT" + json.dumps(bench(args.model, args.count, batch, args.repeats)))
        return
    print(machine())
    for name, peer in (("transformers", "model.generate"), ("vllm", "LLM.generate")):
        arguments = [sys.executable, "-m", "benchmarks.bench_throughput", "--only", name, *sys.argv[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
        if not lines:
            print(f"{name}: failed: {done.stderr.strip().splitlines()[-1:]}")
            continue
        r = json.loads(lines[0].removeprefix("RESULT"))
        print(
            f"{name}: {r['ours']:,.0f} tokens/s, {peer} {r['theirs']:,.0f} tokens/s, ratio {r['ratio']:.2f}"
            f" ({r['lowest']:.2f} to {r['highest']:.2f}, {args.repeats} pairs, {args.count} samples each)"
        )


if __name__ == "__main__":
    main()
