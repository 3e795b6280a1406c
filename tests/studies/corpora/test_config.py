from typing import Any

from generation.certificate.certify import DEFAULT_TOKENS
from generation.certificate.conclude import CONSISTENT, NOT_FROM
from studies.corpora.config import STUDY, scored_tokens


def test_a_study_scores_what_a_certificate_does() -> None:
    assert {device: scored_tokens(device, 128) for device in ("cpu", "cuda")} == DEFAULT_TOKENS


def axes(gap: float, excess: float, reach: float = 0.1, verdict: str = NOT_FROM) -> dict[str, Any]:
    both = (("surprise_gap", gap), ("excess_ce", excess))
    return {axis: {"value": value, "ci95": [value - reach, value + reach]} for axis, value in both} | {
        "verdict": verdict
    }


def test_what_the_report_says_of_corpora_is_read_off_the_summary() -> None:
    cell = {"name": "web", "as_model": {"verdict": "other text", "reason": "surprise"}}
    corpora = {
        "web": axes(0.6, 0.31),
        "own": axes(-0.001, -0.004),
        "one": axes(0.7, 1) | {"excess_ce": {"value": 1, "ci95": None}},
    }
    summary = {"cells": {"web": cell}, "corpora": corpora}
    assert STUDY.verdicts(summary) == [("other text", "web: surprise")]
    assert STUDY.remarks(summary) == [
        "Surprise gap and excess cross-entropy of the corpora under the model, nats/token: own −0.00 and −0.00; web +0.60 and"
        " +0.31; one +0.70 and +1.00."
    ]


def test_text_that_is_easy_and_not_the_models_is_named() -> None:
    """SmolLM2's figures: by excess cross-entropy alone instructions would lie deeper inside the model than its own text."""
    corpora = {
        "own": axes(-0.02, -0.09),
        "alpaca": axes(0.14, -1.19),
        "law": axes(0.39, -0.05),
        "cool": axes(-0.8, -1.7),
        "again": axes(0.03, -0.03, 0.02, CONSISTENT),
    }
    _, *said = STUDY.remarks({"corpora": corpora})
    assert said == [
        "The model predicts alpaca better than its own text, and yet is more surprised than it expects to be: easy, and"
        " not its own."
    ]
