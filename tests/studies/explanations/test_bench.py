"""What is done once: texts are read, and each question is asked, whatever else the study is told."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import write_tensors
from studies.common.controls import UNTRAINED
from studies.explanations.bench import TRAINED
from studies.explanations.config import ExplanationsConfig
from studies.explanations.study import study_explanations
from tests.studies.explanations.oracle import Server, serving

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


def test_an_untrained_start_is_asked_about_once_for_all_that_began_so(explained: Explained) -> None:
    """Seeds 0 to 2 of both corpora; the mean of the text is the same for all."""
    _, summary, server = explained
    asked = [one["messages"][0]["content"] for one in server.asked]
    sizes = summary["sizes"]
    assert sizes["explanations"] == 6 * 6 * 2 and sizes["judgements"] == 6 * 6 * 3 and sizes["answers"] == 3 * 6 * 6 * 3
    assert len(asked) <= 6 * (6 + 3) + 3 * 6 * (6 * 2 + 3) and sizes["unread"] == 0


def test_again_it_asks_nothing_and_says_the_same(explained: Explained, tmp_path: Path) -> None:
    config, summary, _ = explained
    out = tmp_path / "again"
    shutil.copytree(config.out, out)
    with serving(Server(status=500)) as server:  # which is never asked, its name neither
        again = study_explanations(replace(config, endpoint=server.address, out=out)).summary
        assert server.asked == [] and again == summary | {"reused": 6}
        shutil.rmtree(out / "cells")
        again = study_explanations(replace(config, endpoint=server.address, out=out, workers=2)).summary
        assert server.asked == [] and again == summary, "every answer was kept by itself"


def test_a_text_without_enough_contexts_is_refused(explained: Explained, tmp_path: Path) -> None:
    config, _, _ = explained
    with serving(Server()) as server:
        with pytest.raises(FaithfulError, match="No latent fires in 1006 contexts"):
            study_explanations(replace(config, endpoint=server.address, out=tmp_path / "out", shown=1000))
        assert server.asked == []


def test_an_sae_without_latents_to_explain_stops_no_others(explained: Explained, tmp_path: Path) -> None:
    config, _, whole = explained
    out = tmp_path / "out"
    shutil.copytree(config.out, out)
    shutil.rmtree(out / "cells")
    write_tensors(next((out / "evidence").rglob("*.pt")), {TRAINED: [], UNTRAINED: [], "eligible": 0.0})
    with serving(Server(whole.answering)) as server:
        told = replace(config, endpoint=server.address, out=out)
        summary = study_explanations(told).summary
        assert sum(len(of["trained"]) for of in summary["detections"].values()) == 5 * 6
        (empty,) = [path for path in (out / "cells").glob("*.json") if not json.loads(path.read_text())["trained"]]
        empty.unlink()
        assert study_explanations(told).summary == summary | {"reused": 5}


def test_another_explainer_reads_no_text_again(
    explained: Explained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, summary, whole = explained
    out = tmp_path / "out"
    shutil.copytree(config.out, out)
    monkeypatch.setattr("studies.explanations.bench.code_text", None)
    with serving(Server(whole.answering, models=("other",))) as server:
        told = replace(config, endpoint=server.address, explainer="other", out=out)
        assert study_explanations(told).summary == summary | {"explainer": "other"}
        assert len(server.asked) == len(whole.asked)
