"""How many questions are asked unless it is said."""

from studies.unlearning.config import STUDY, question_count


def test_a_gpu_asks_more_and_a_run_has_the_study_only_where_it_is_asked_for() -> None:
    assert question_count("cpu", 128) < question_count("cuda", 128) and STUDY.optional
