from generation.certificate.certify import DEFAULT_TOKENS
from studies.corpora.config import STUDY, scored_tokens


def test_a_study_scores_what_a_certificate_does() -> None:
    assert {device: scored_tokens(device, 128) for device in ("cpu", "cuda")} == DEFAULT_TOKENS


def test_what_the_report_says_of_corpora_is_read_off_the_summary() -> None:
    cell = {"name": "web", "as_model": {"verdict": "other text", "reason": "surprise"}}
    summary = {
        "cells": {"web": cell}, "by_excess_ce": ["own", "web"],
        "corpora": {"own": {"excess_ce": {"value": -0.004}}, "web": {"excess_ce": {"value": 1.5}}},
    }  # fmt: skip
    assert STUDY.verdicts(summary) == [("other text", "web: surprise")]
    (said,) = STUDY.remarks(summary)
    assert said == "Excess cross-entropy of the corpora under the model, nats/token: own −0.00, web +1.50."
