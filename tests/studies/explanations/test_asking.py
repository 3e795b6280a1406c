"""Questions asked many at a time: each once, whatever fails, and what cannot be read recognises nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from studies.common.cache import ResultCache
from studies.explanations.asking import Asking, Question
from studies.explanations.config import STUDY, ExplanationsConfig
from studies.explanations.endpoint import Endpoint
from studies.explanations.prompts import explaining
from studies.explanations.score import score
from studies.explanations.study import study_explanations
from tests.studies.explanations.oracle import Server, oracle, serving
from tests.studies.explanations.test_evidence import drawn, word

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


def test_words_tell_where_planted_latents_fire_and_anothers_do_not(server: Server, tmp_path: Path) -> None:
    found, _ = drawn()
    asking = Asking(Endpoint(server.address), ResultCache(tmp_path), 4, 64)
    said = asking.explain(found, silent)
    assert [one["text"] for one in said] == [f'["{word(one["latent"])}"]' for one in found]
    own = asking.judge([Question(one["judged"], by["text"]) for one, by in zip(found, said, strict=True)], silent)
    for one, judged in zip(found, own, strict=True):
        assert judged == {"said": one["fires"], "answers": 4, "unread": 0, "read": 28, "written": 12}
        assert score(one["fires"], judged["said"]).detection == 1 and score(one["fires"], judged["said"]).explained
    others = asking.judge([Question(one["judged"], said[at - 1]["text"]) for at, one in enumerate(found)], silent)
    scores = [score(one["fires"], judged["said"]) for one, judged in zip(found, others, strict=True)]
    assert 0.3 < np.mean([one.detection for one in scores]) < 0.7 and sum(one.explained for one in scores) <= 1
    asked = len(server.asked)
    assert asking.explain(found, silent) == said and len(server.asked) == asked == 9 * (1 + 4 + 4)


def asked_of(server: Server) -> list[str]:
    return sorted(json.dumps(one["messages"]) for one in server.asked)


def test_what_was_answered_before_a_failure_is_not_asked_again(explained: Explained, tmp_path: Path) -> None:
    config, summary, whole = explained

    def failing(messages: list[dict[str, str]]) -> str:
        if len(server.asked) == 100:
            server.status = 401
        return whole.answering(messages)

    with serving(Server(failing)) as server:
        config = replace(config, endpoint=server.address, out=tmp_path / "out")
        with pytest.raises(FaithfulError, match="does not take the key"):
            study_explanations(config)
        before = len(server.asked)
        server.status = 200
        again = study_explanations(config).summary
    assert again == summary and 100 <= before < 120
    assert asked_of(server) == asked_of(whole), "each question once"


def test_a_question_that_is_refused_recognises_nothing_and_is_asked_again(explained: Explained, tmp_path: Path) -> None:
    config, summary, whole = explained
    refused = []

    def once(messages: list[dict[str, str]]) -> str:
        if len(server.asked) > 5 and not refused:
            refused.append(messages)
            raise LookupError
        return whole.answering(messages)

    with serving(Server(once)) as server:
        config = replace(config, endpoint=server.address, out=tmp_path / "out", requests=1)
        found = study_explanations(config).summary["sizes"]
        assert refused and found["unread"] + found["unexplained"] > 0
        shutil.rmtree(config.out / "cells")
        assert study_explanations(config).summary == summary
    with serving(Server(status=400)) as server, pytest.raises(FaithfulError, match="refuses a question"):
        study_explanations(replace(config, endpoint=server.address, explainer="x", out=tmp_path / "none"))


def test_a_question_that_is_always_refused_stops_no_further_command(tmp_path: Path) -> None:
    found, _ = drawn()
    hopeless = explaining(found[-1]["shown"])

    def answering(messages: list[dict[str, str]]) -> str:
        if messages == hopeless:
            raise LookupError
        return oracle(messages)

    with serving(Server(answering)) as server:
        for asked in (len(found), len(found) + 1):
            said = Asking(Endpoint(server.address), ResultCache(tmp_path), 1, 64).explain(found, silent)
            assert [bool(one["text"]) for one in said] == [True] * (len(found) - 1) + [False]
            assert len(server.asked) == asked


def test_explanations_that_are_cut_off_are_judged_by_nobody(explained: Explained, tmp_path: Path) -> None:
    config, _, _ = explained
    with serving(Server(reason="length")) as server:
        done = study_explanations(replace(config, endpoint=server.address, out=tmp_path / "out", latents=2))
    sizes = done.summary["sizes"]
    assert sizes["unexplained"] == sizes["explanations"] > 0 and sizes["answers"] == 0
    assert done.summary["corpora"]["own"]["detection"]["value"] == 0.5
    (said,) = STUDY.warnings(done.summary)
    assert "explanations are empty or were cut off" in said and "more answer_tokens" in said


def test_answers_that_cannot_be_read_recognise_nothing(explained: Explained, tmp_path: Path) -> None:
    config, _, _ = explained
    with serving(Server(lambda _: "I cannot tell.")) as server:
        done = study_explanations(replace(config, endpoint=server.address, out=tmp_path / "out", latents=2))
    sizes = done.summary["sizes"]
    assert sizes["unread"] == sizes["answers"] > 0
    assert done.summary["corpora"]["own"]["explained"]["value"] == 0
    assert done.summary["corpora"]["own"]["detection"]["value"] == 0.5
