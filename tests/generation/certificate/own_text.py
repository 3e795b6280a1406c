"""Documents drawn by the real engine, a model of one table, verdicts."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from faithful.models.spec import ModelSpec
from faithful.store.manifest_parts import Certificate
from generation.certificate.conclude import _verdict
from generation.certificate.score_part import score_evidence
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine
from generation.scoring.scored_part import ScoredPart


def sampled(spec: ModelSpec, model: Any, sampling: Sampling, count: int, seed: int = 0) -> ScoredPart:
    """Documents drawn by the real engine."""
    requests = (Request(i, sample_seed(seed, "train", i)) for i in range(count))
    rows = sorted(TransformersEngine(model, spec, sampling, 64).run(requests), key=lambda row: row.index)
    documents = [np.array(row.token_ids) for row in rows]
    return ScoredPart(documents, np.arange(count), [np.array(row.logprob_p) for row in rows], "every document")


def external(documents: list[np.ndarray]) -> ScoredPart:
    return ScoredPart(documents, np.arange(len(documents)), None, "every document")


def score_part(
    part: ScoredPart, model: Any, spec: ModelSpec, sampling: Sampling, *, as_declared: bool, **how: Any
) -> Certificate:
    """Score documents and conclude: whether the corpus declares that q, else see `score_evidence`."""
    return score_evidence(part, model, spec, sampling, **how).certificate(as_declared=as_declared)


def verdict(
    p: dict[str, float], gap: float, half: float, effect: float = 0.005, impossible: float = 0.0, variance: float = 1e4
) -> tuple[str, str]:
    tests = {name: {"p": value, "p_holm": value, "effect": effect} for name, value in p.items()}
    return _verdict(tests, variance, gap, [gap - half, gap + half], 10_000, impossible)


class Table(torch.nn.Module):
    """A causal LM whose logits depend on the last token alone: [vocab, vocab]."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)
        self.config = SimpleNamespace()

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Any:
        return SimpleNamespace(logits=self.logits[input_ids].clone())


def table_spec(vocab: int, dtype: str = "float32") -> Any:
    return SimpleNamespace(name="table", dtype=dtype, vocab_size=vocab, mapped=vocab, holes=(), bos_id=0, eos_ids=())


def walk(q: np.ndarray, documents: int, length: int) -> list[np.ndarray]:
    """Streams of a chain with transition probabilities q [vocab, vocab], from token 0."""
    generator, upto = np.random.default_rng(3), q.cumsum(1)
    rows, state = [], np.zeros(documents, dtype=np.int64)
    for _ in range(length):
        state = (generator.random((documents, 1)) * upto[state, -1:] >= upto[state]).sum(1)
        rows.append(state)
    return list(np.stack(rows, axis=1))
