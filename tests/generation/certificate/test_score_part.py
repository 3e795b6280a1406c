"""Documents scored and concluded from: what is found, and what it does not depend on."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from generation.certificate.conclude import CONSISTENT, NOT_FROM
from generation.sampling.distribution import Sampling
from generation.scoring.scored_part import ScoredPart
from tests.generation.certificate.own_text import Table, external, sampled, score_part, table_spec, walk

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.8, top_p=0.95, max_tokens=31),
        Sampling(top_k=50, max_tokens=31),
        Sampling(min_p=0.02, max_tokens=31),
    ],
    ids=["top-p", "top-k", "min-p"],
)
def test_own_text_of_truncated_sampling_is_consistent(family_model: Model, sampling: Sampling) -> None:
    spec, model = family_model("llama")
    result = score_part(sampled(spec, model, sampling, 900), model, spec, sampling, as_declared=True)
    assert result["p_holm"] > 0.001, result["tests"]
    assert result["impossible_share"] == 0
    assert "p_holm" in result["tests"]["support"]


def test_repetition_penalty_is_certified_with_its_own_q(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    sampling = Sampling(repetition_penalty=1.3, max_tokens=31)
    part = sampled(spec, model, sampling, 600)
    assert score_part(part, model, spec, sampling, as_declared=True)["p_holm"] > 0.001
    plain = score_part(part, model, spec, Sampling(max_tokens=31), as_declared=False)
    assert plain["tests"]["repeat"]["p_holm"] < 1e-6
    assert plain["tests"]["repeat"]["z"] < 0


def test_tokens_that_truncation_excludes_are_impossible(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    part = sampled(spec, model, Sampling(max_tokens=31), 200)
    result = score_part(part, model, spec, Sampling(top_k=20, max_tokens=31), as_declared=False)
    assert result["impossible_share"] > 0.1
    assert result["tests"]["support"]["p_holm"] < 1e-6
    assert math.isfinite(result["surprise_gap"])
    assert result["verdict"] == NOT_FROM


def test_a_corpus_stored_twice_is_found_by_copy_alone(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 300)
    twice = external([*part.documents, *part.documents])
    result = score_part(twice, model, spec, own, as_declared=True)
    assert result["tests"]["copy"]["p_holm"] < 1e-6
    assert result["tests"]["copy"]["duplicates"] > 50
    assert result["verdict"] == NOT_FROM
    assert score_part(part, model, spec, own, as_declared=True)["tests"]["copy"]["p"] > 0.01


def test_ended_documents_alone_are_found_by_eos(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 2500)
    ended = external([document for document in part.documents if document[-1] in spec.eos_ids])
    result = score_part(ended, model, spec, own, as_declared=True)
    assert result["tests"]["eos"]["p_holm"] < 0.001
    assert result["tests"]["eos"]["z"] > 0


def test_a_large_difference_to_the_stored_log_probabilities_decides(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 50)
    assert part.log_p is not None
    wrong = ScoredPart(part.documents, part.indices, [row + 0.01 for row in part.log_p], part.chosen)
    result = score_part(wrong, model, spec, own, as_declared=True)
    assert result["score_mismatch"] == pytest.approx(0.01, rel=0.05)
    assert result["verdict"] == NOT_FROM
    assert "stored and scored" in result["reason"]


def test_the_certificate_does_not_depend_on_batches(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 80)
    first = score_part(part, model, spec, own, as_declared=True)
    order = np.random.default_rng(1).permutation(80)
    assert part.log_p is not None
    mixed = ScoredPart(
        [part.documents[i] for i in order], part.indices[order], [part.log_p[i] for i in order], part.chosen
    )
    second = score_part(mixed, model, spec, own, as_declared=True)
    assert second["z"] == pytest.approx(first["z"], abs=1e-3)
    assert second["pit_counts"] == pytest.approx(first["pit_counts"], abs=1)


@pytest.mark.parametrize(
    ("sampling", "count"), [(Sampling(top_k=20), 20), (Sampling(top_p=0.9), None)], ids=["top-k", "top-p"]
)
def test_sixteen_bit_ties_that_the_sampler_cuts_do_not_reject(sampling: Sampling, count: int | None) -> None:
    """vLLM keeps exactly k of the tied tokens, q all of them."""
    vocab = 120
    logits = (2 * torch.randn(vocab, vocab, generator=torch.Generator().manual_seed(0)) + 40).bfloat16().float()
    p = logits.double().softmax(-1).numpy()
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, 1)
    kept = np.arange(vocab)[None] < count if count else ordered.cumsum(1) - ordered < sampling.top_p
    q = np.zeros_like(p)
    np.put_along_axis(q, order, np.where(kept, ordered, 0.0), 1)
    documents = walk(q, 200, 60)
    log_p = [np.log(p[np.concatenate([[0], row[:-1]]), row]) for row in documents]
    part = ScoredPart(documents, np.arange(200), log_p, "every document")
    spec, model = table_spec(vocab), Table(logits)
    result = score_part(part, model, spec, sampling, as_declared=True, sampled_in="bfloat16")
    assert result["verdict"] == CONSISTENT, result["tests"]
    assert result["impossible_share"] == 0 and 0 < result["boundary_share"] < 0.2
    whole = score_part(part, model, spec, sampling, as_declared=True)
    assert whole["tests"]["pit"]["p_holm"] < 0.001
    other = sampling.with_changes(temperature=1.3)
    looser = score_part(part, model, spec, other, as_declared=True, sampled_in="bfloat16")
    assert looser["verdict"] == NOT_FROM
