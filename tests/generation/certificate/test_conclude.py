"""The certificate's statistics on their own, and on text sampled right and wrong."""

import json
import math
import re
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from generation.certificate.conclude import CLOSE, CONSISTENT, NO_CERTIFICATE, NOT_FROM, TOO_FEW, _verdict, conclude
from generation.certificate.evidence import PIT_EDGES, Evidence
from generation.certificate.p_values import holm, poisson_binomial_p, pooled_cells
from generation.certificate.score_part import score_part
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine
from generation.scoring.scored_part import Part

Model = Callable[[str], tuple[ModelSpec, Any]]


def sampled(spec: ModelSpec, model: Any, sampling: Sampling, count: int, seed: int = 0) -> Part:
    """Documents drawn by the real engine."""
    requests = (Request(i, sample_seed(seed, "train", i)) for i in range(count))
    rows = sorted(TransformersEngine(model, spec, sampling, 64).run(requests), key=lambda row: row.index)
    documents = [np.array(row.token_ids) for row in rows]
    return Part(documents, np.arange(count), [np.array(row.logprob_p) for row in rows], "every document")


def external(documents: list[np.ndarray]) -> Part:
    return Part(documents, np.arange(len(documents)), None, "every document")


def test_own_text_is_consistent_and_json_ready(family: str, family_model: Model) -> None:
    spec, model = family_model(family)
    sampling = Sampling(max_tokens=31)
    result = score_part(sampled(spec, model, sampling, 900), model, spec, sampling, as_declared=True)
    assert result["p_holm"] > 0.001, result["tests"]
    assert result["verdict"] in (CONSISTENT, TOO_FEW)
    assert result["score_mismatch"] < 1e-3
    assert json.loads(json.dumps(result, allow_nan=False)) == result


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


def test_wrong_temperature_is_found_with_the_right_sign(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    for temperature, sign in ((0.7, -1), (1.3, 1)):
        part = sampled(spec, model, own.with_changes(temperature=temperature), 300)
        result = score_part(part, model, spec, own, as_declared=False)
        assert result["verdict"] == NOT_FROM
        assert math.copysign(1, result["surprise_gap"]) == sign
        assert result["tests"]["surprise"]["p_holm"] < 1e-6
        low, high = result["ci95"]
        assert low < result["surprise_gap"] < high
        assert result["interval_from"] == "bootstrap over documents"


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


def test_random_tokens_and_shuffled_tokens_are_not_from_the_model(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 200)
    generator = np.random.default_rng(0)
    shuffled = external([generator.permutation(document) for document in part.documents])
    assert score_part(shuffled, model, spec, own, as_declared=False)["verdict"] == NOT_FROM


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
    wrong = Part(part.documents, part.indices, [row + 0.01 for row in part.log_p], part.chosen)
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
    mixed = Part([part.documents[i] for i in order], part.indices[order], [part.log_p[i] for i in order], part.chosen)
    second = score_part(mixed, model, spec, own, as_declared=True)
    assert second["z"] == pytest.approx(first["z"], abs=1e-3)
    assert second["pit_counts"] == pytest.approx(first["pit_counts"], abs=1)


def test_holm_against_the_definition() -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert holm(p) == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize("chances", [[0.1, 0.2, 0.05], [0.9, 0.95, 0.5], [0.02, 0.97, 0.4, 0.6]])
def test_poisson_binomial_equals_enumeration(chances: list[float]) -> None:
    mass = np.zeros(len(chances) + 1)
    for outcome in product((0, 1), repeat=len(chances)):
        mass[sum(outcome)] += math.prod(c if o else 1 - c for c, o in zip(chances, outcome, strict=True))
    for hits in range(len(chances) + 1):
        expected = min(1.0, 2 * min(mass[: hits + 1].sum(), mass[hits:].sum()))
        assert poisson_binomial_p(np.array(chances), hits) == pytest.approx(expected)


def test_poisson_binomial_of_many_rare_events_is_the_binomial() -> None:
    from scipy.stats import binom

    chances = np.full(5000, 1e-3)
    for hits in (0, 4, 5, 20):
        below, above = binom.cdf(hits, 5000, 1e-3), binom.sf(hits - 1, 5000, 1e-3)
        assert poisson_binomial_p(chances, hits) == pytest.approx(min(1, 2 * min(below, above)), rel=1e-6)


def test_pooled_cells_hold_enough_and_every_outcome() -> None:
    expected = np.random.default_rng(0).exponential(2.0, 200)
    cells = pooled_cells(expected)
    assert cells is not None
    labels, count = cells
    assert set(labels) == set(range(count))
    assert np.bincount(labels, weights=expected).min() >= 5
    assert pooled_cells(np.array([4.0, 4.0])) is None
    cells = pooled_cells(np.array([6.0, 7.0, 0.0, 0.0]))
    assert cells is not None
    assert cells[1] == 2
    assert set(cells[0]) == {0, 1}


def test_pit_cells() -> None:
    assert len(PIT_EDGES) == 23
    assert np.all(np.diff(PIT_EDGES) > 0.0099)
    assert PIT_EDGES[0] == 0
    assert PIT_EDGES[-1] == 1


def verdict(
    p: dict[str, float], gap: float, half: float, effect: float = 0.005, impossible: float = 0.0, variance: float = 1e4
) -> tuple[str, str]:
    tests = {name: {"p": value, "p_holm": value, "effect": effect} for name, value in p.items()}
    return _verdict(tests, variance, gap, [gap - half, gap + half], 10_000, impossible)


def test_verdicts() -> None:
    fine = {"surprise": 0.5, "copy": 0.9}
    assert verdict(fine, 0.01, 0.02)[0] == CONSISTENT
    word, reason = verdict(fine, 0.01, 0.06)
    assert word == TOO_FEW
    assert "36,000 tokens" in reason
    assert verdict({"surprise": 1e-5}, 0.01, 0.005)[0] == CLOSE
    assert "0.005" in verdict({"surprise": 1e-5}, 0.01, 0.005)[1]
    assert verdict({"surprise": 1e-5}, 0.01, 0.005, effect=0.02)[0] == NOT_FROM
    assert verdict({"copy": 1e-5}, 0.0, 0.005)[0] == NOT_FROM
    assert verdict({"support": 1e-5}, 0.0, 0.005)[0] == NOT_FROM
    assert verdict({"surprise": 1e-5}, 0.01, 0.005, impossible=2e-4)[0] == NOT_FROM
    assert verdict({"surprise": 1e-5}, 0.2, 0.005)[0] == NOT_FROM
    assert verdict(fine, 0.2, 0.01)[0] == TOO_FEW


def test_without_the_surprise_test_nothing_is_consistent() -> None:
    fine = {"repeat": 0.5, "copy": 0.9}
    word, reason = verdict(fine, 0.0, 0.001, variance=4.0)
    assert word == TOO_FEW
    assert "varies too little" in reason and "25,000 tokens" in reason
    assert verdict(fine, 0.0, 0.0, variance=0.0)[0] == NO_CERTIFICATE
    assert verdict(fine | {"eos": 1e-9}, 0.0, 0.0, effect=0.5, variance=0.0)[0] == NOT_FROM


def test_tests_without_enough_evidence_are_left_out_and_say_so(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    result = score_part(sampled(spec, model, own, 6), model, spec, own, as_declared=True)
    assert result["tests"]["pit"]["p"] is None
    assert "500" in result["tests"]["pit"]["left_out"]
    assert result["tests"]["eos"]["exact"] is True
    assert 0 <= result["tests"]["eos"]["p"] <= 1
    assert result["tests"]["support"]["p"] is None


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
    part = Part(documents, np.arange(200), log_p, "every document")
    spec, model = table_spec(vocab), Table(logits)
    result = score_part(part, model, spec, sampling, as_declared=True, sampled_in="bfloat16")
    assert result["verdict"] == CONSISTENT, result["tests"]
    assert result["impossible_share"] == 0 and 0 < result["boundary_share"] < 0.2
    whole = score_part(part, model, spec, sampling, as_declared=True)
    assert whole["tests"]["pit"]["p_holm"] < 0.001
    other = sampling.with_changes(temperature=1.3)
    looser = score_part(part, model, spec, other, as_declared=True, sampled_in="bfloat16")
    assert looser["verdict"] == NOT_FROM


def test_a_corpus_without_randomness_has_no_certificate() -> None:
    logits = 3 * torch.randn(50, 50, generator=torch.Generator().manual_seed(0))
    part = external(walk(np.eye(50)[logits.argmax(-1).numpy()], 40, 30))
    result = score_part(part, Table(logits), table_spec(50), Sampling(top_p=1e-3), as_declared=True)
    assert result["verdict"] == NO_CERTIFICATE
    assert result["tests"]["surprise"]["p"] is None
    assert result["tests"]["eos"]["p"] is None and result["tests"]["repeat"]["p"] is None


def test_few_documents_have_an_interval_no_narrower_than_the_declared_one() -> None:
    logits = 2 * torch.randn(50, 50, generator=torch.Generator().manual_seed(0))
    q = logits.double().softmax(-1).numpy()
    for count, is_few in ((1, True), (5, True), (30, True), (149, True), (150, False)):
        part = external(walk(q, count, 40))
        declared, bootstrap = (
            score_part(part, Table(logits), table_spec(50), Sampling(), as_declared=flag) for flag in (True, False)
        )
        inside = bootstrap["ci95"][0] <= declared["ci95"][0] < declared["ci95"][1] <= bootstrap["ci95"][1]
        assert inside or not is_few, (count, declared["ci95"], bootstrap["ci95"])
        assert ("fewer than 150" in bootstrap["interval_from"]) == is_few
        assert count > 100 or declared["verdict"] == bootstrap["verdict"] == TOO_FEW


def evidence_of(by_document: np.ndarray, variance: float) -> Evidence:
    """Evidence with nothing but surprise: (Σ gap, tokens) of each document, and the variance of a token's surprise."""
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=len(by_document))
    evidence.documents, evidence.tokens = len(by_document), int(by_document[:, 1].sum())
    evidence.inside = evidence.tokens
    evidence.surprise.add(by_document[:, 0], by_document[:, 1] * variance)
    evidence.by_document.append(by_document)
    evidence.pit_counts = np.diff(PIT_EDGES) * evidence.inside
    return evidence


def drawn_gaps(draw: np.random.Generator, count: int, gap: float, spread: float, variance: float) -> np.ndarray:
    """Documents of 20 to 180 tokens whose mean surprise gap differs by `spread` from document to document."""
    lengths = draw.integers(20, 181, count)
    mean = lengths * (gap + spread * draw.standard_normal(count))
    return np.stack([mean + np.sqrt(lengths * variance) * draw.standard_normal(count), lengths], axis=1)


@pytest.mark.parametrize(
    ("gap", "spread", "declared"),
    [
        (0.0, 0.0, True),
        (0.03, 0.0, True),
        (0.05, 0.0, True),
        (0.0, 0.15, False),
        (0.03, 0.15, False),
        (0.06, 0.3, False),
    ],
)
def test_as_many_tokens_as_it_says_would_do_and_a_third_of_them_often_not(
    gap: float, spread: float, declared: bool
) -> None:
    """Text of any gap, of which at first a little is scored, then as much as the verdict asked for."""
    draw = np.random.default_rng(0)
    decided, asked, sooner = 0, 0, 0
    for seed in range(60 if declared else 40):
        few = drawn_gaps(draw, int(draw.integers(15, 60)), gap, spread, 2.0)
        first = conclude(evidence_of(few, 2.0), declared=declared, delta=0.0, mismatch=None, cap=1e-3, seed=seed)
        if first["verdict"] != TOO_FEW:
            continue
        asked += 1
        needed = int(re.search(r"about ([\d,]+) tokens", first["reason"])[1].replace(",", ""))  # type: ignore[index]
        more = np.concatenate([few, drawn_gaps(draw, needed // 50 + 100, gap, spread, 2.0)])
        tokens = np.cumsum(more[:, 1])
        for share in (1.0, 0.3):
            part = more[: max(len(few), int(np.searchsorted(tokens, share * needed)) + 1)]
            then = conclude(evidence_of(part, 2.0), declared=declared, delta=0.0, mismatch=None, cap=1e-3, seed=seed)
            if share == 1:
                decided += then["verdict"] != TOO_FEW
            else:
                sooner += then["verdict"] != TOO_FEW
    assert asked > 15
    assert decided / asked > 0.9, (decided, asked)
    assert sooner < decided


@pytest.mark.parametrize("count", [10, 30, 100])
def test_the_interval_of_external_text_holds_its_gap_however_few_its_documents(count: int) -> None:
    """The bootstrap alone misses about 9 % at 30 documents; a little more than 5 % is left to chance here."""
    draw = np.random.default_rng(1)
    missed = 0
    for seed in range(250):
        documents = drawn_gaps(draw, count, 0.02, 0.0, 2.0)
        found = conclude(evidence_of(documents, 2.0), declared=False, delta=0.0, mismatch=None, cap=1e-3, seed=seed)
        missed += not found["ci95"][0] <= 0.02 <= found["ci95"][1]
    assert missed / 250 < 0.06


def test_copies_and_duplicates_are_two_chances_to_reject() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=100)
    evidence.documents, evidence.copy_log_wealth = 100, np.full(4, 3.0)
    assert evidence.tests()["copy"]["p"] == pytest.approx(math.exp(-3))
    evidence.duplicates, evidence.least_log_prob = 1, -40.0
    assert evidence.tests()["copy"]["p"] == pytest.approx(2 * 100 * 100 * math.exp(-40))


def test_events_that_are_certain_are_left_out_and_impossible_ones_reject() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=1)
    evidence.eos.add_event(np.array([False, True]), np.array([0.0, 1.0]))
    evidence.repeat.add_event(np.array([True, True]), np.array([0.0, 1.0]))
    assert evidence.tests()["eos"]["p"] is None
    assert evidence.tests()["repeat"]["p"] == 0


def test_many_first_tokens_are_pooled_to_larger_cells() -> None:
    for outcomes, cells in ((150, 150 // 2), (90, 90)):
        evidence = Evidence(np.full(outcomes, 1 / outcomes), truncated=False, population=1)
        evidence.first_counts[:] = 6
        assert evidence.tests()["first_token"]["df"] == cells - 1


def test_evidence_of_nothing_is_no_rejection() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=1)
    assert all(test["p"] is None or test["p"] == 1 for test in evidence.tests().values())
