"""Whether the Hub can be reached: any answer counts."""

import pytest
from huggingface_hub import constants

from faithful.hub.reachable import hub_problem
from tests.faithful.hub.state import Hub


def test_any_answer_counts_also_an_error(hub: Hub) -> None:
    assert hub_problem() is None


def test_offline_mode_and_no_answer_are_said_in_a_few_words(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    problem = hub_problem(seconds=2.0)
    assert problem is not None and "onnect" in problem and "\n" not in problem and len(problem) <= 200
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub_problem() == "offline mode is on"
