"""Draw samples with the real vLLM engine and print them as JSON: tests do it in a process of its own."""

import json
from dataclasses import asdict, replace
from typing import Any


def draw(wish: str) -> None:
    """Print the samples that are wished for."""
    request: dict[str, Any] = json.loads(wish)
    from generation.sampling.engine import EngineSettings, Request
    from generation.sampling.vllm_engine import VllmEngine, sampling_params, set_environment

    settings = EngineSettings("vllm", "cpu", 1, request["slots"], 64, False)
    set_environment(settings)
    from faithful.models.spec import resolve_model
    from generation.sampling.distribution import Sampling
    from generation.sampling.seeds import sample_seed

    spec = resolve_model(request["model"])
    longest = max(s["max_tokens"] for s in request["samplings"])
    engine = VllmEngine(spec, Sampling(max_tokens=longest), settings)
    answers = []
    for values in request["samplings"]:
        sampling = Sampling.from_dict(values)
        engine.sampling = sampling
        order = range(request["count"])
        for indices in (order, reversed(order)):
            rows = engine.run(Request(i, sample_seed(5, "train", i)) for i in indices)
            answers.append(sorted((asdict(row) for row in rows), key=lambda row: row["index"]))
    params = sampling_params(replace(Sampling(), max_tokens=9), spec, 11)
    fields = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
    stated = {name: getattr(params, name) for name in (*fields, "min_tokens", "max_tokens", "seed", "ignore_eos")}
    print("ANSWER" + json.dumps({"rows": answers, "params": stated}))  # noqa: T201
