"""How many questions are asked unless it is said."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.unlearning.config import STUDY, UnlearningConfig, hub_set, question_count, refuse


def test_a_gpu_asks_more_and_a_run_has_the_study_only_where_it_is_asked_for() -> None:
    assert question_count("cpu", 128) < question_count("cuda", 128) and STUDY.optional


def test_a_set_of_the_hub_may_have_a_dot_in_its_name() -> None:
    refuse(UnlearningConfig((), Path(), forget_questions="someone/questions-v1.5"))
    with pytest.raises(FaithfulError, match=r"There is no file questions\.jsonl\.gz"):
        refuse(UnlearningConfig((), Path(), forget_questions="questions.jsonl.gz"))


@pytest.mark.parametrize("place", ["mmlu", "mmlu:", "wmdp", "wmdp-"])
def test_a_set_without_its_part_is_refused(place: str) -> None:
    with pytest.raises(FaithfulError, match=f"'{place}' names no part; write wmdp-bio"):
        STUDY.check(UnlearningConfig((), Path(), retain_questions=place))


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("wmdp-bio", ("cais/wmdp", "wmdp-bio")),
        ("wmdp:bio", ("cais/wmdp", "wmdp-bio")),
        ("mmlu:astronomy", ("cais/mmlu", "astronomy")),
        ("stdlib", None),
    ],
)
def test_sets_of_the_hub_by_name(place: str, found: tuple[str, str] | None) -> None:
    assert hub_set(place) == found


@pytest.mark.parametrize(
    "change",
    [
        {"questions": 7},
        {"allowed": -0.1},
        {"allowed": 1.5},
        {"allowed": float("nan")},
        {"multipliers": (float("nan"),)},
    ],
)
def test_what_cannot_be_asked_is_refused_before_work(change: dict[str, Any]) -> None:
    with pytest.raises(FaithfulError, match=r"too few|no share|no setting"):
        refuse(UnlearningConfig((), Path(), **change))
