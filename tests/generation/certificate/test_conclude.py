"""The certificate's statistics on their own, and on text sampled right and wrong."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from generation.certificate.conclude import CLOSE, CONSISTENT, NO_CERTIFICATE, NOT_FROM, TOO_FEW, conclude
from generation.certificate.evidence import PIT_EDGES, Evidence
from generation.sampling.distribution import Sampling
from tests.generation.certificate.own_text import Table, external, sampled, score_part, table_spec, verdict, walk

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_own_text_is_consistent_and_json_ready(family: str, family_model: Model) -> None:
    spec, model = family_model(family)
    sampling = Sampling(max_tokens=31)
    result = score_part(sampled(spec, model, sampling, 900), model, spec, sampling, as_declared=True)
    assert result["p_holm"] > 0.001, result["tests"]
    assert result["verdict"] in (CONSISTENT, TOO_FEW)
    assert result["score_mismatch"] < 1e-3
    assert json.loads(json.dumps(result, allow_nan=False)) == result


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


def test_random_tokens_and_shuffled_tokens_are_not_from_the_model(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    own = Sampling(max_tokens=31)
    part = sampled(spec, model, own, 200)
    generator = np.random.default_rng(0)
    shuffled = external([generator.permutation(document) for document in part.documents])
    assert score_part(shuffled, model, spec, own, as_declared=False)["verdict"] == NOT_FROM


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
