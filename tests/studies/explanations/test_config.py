"""What is refused before the work, and what a summary is warned of."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.explanations.config import LEAST, LEVEL, STUDY, ExplanationsConfig
from studies.explanations.score import score
from studies.explanations.study import study_explanations
from tests.studies.explanations.oracle import Server

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": "localhost:8000"}, "is no address"),
        ({"latents": 1}, "at least 2"),
        ({"judged": LEAST - 1}, "at least 4"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        study_explanations(ExplanationsConfig((tmp_path,), tmp_path, **changes))


def test_as_few_contexts_as_are_taken_can_tell_from_chance() -> None:
    best = {judged: score([1] * judged + [0] * judged, [1] * judged + [0] * judged).p for judged in (LEAST, LEAST - 1)}
    assert best[LEAST] < LEVEL <= best[LEAST - 1]


def test_answers_that_are_none_are_warned_of(explained: Explained) -> None:
    summary: Any = explained[1]
    assert STUDY.warnings(summary) == []
    (said,) = STUDY.warnings(summary | {"sizes": summary["sizes"] | {"unread": 60}})
    assert said.startswith("60 of 324 answers were no list of zeros and ones")


def test_a_recipe_names_no_endpoint(tmp_path: Path) -> None:
    with pytest.raises(
        FaithfulError, match="A recipe names no endpoint, where others' keys would go; set OPENAI_BASE_URL"
    ):
        STUDY.check(ExplanationsConfig((), tmp_path, endpoint="http://localhost:8000/v1"))
    STUDY.check(ExplanationsConfig((), tmp_path))
