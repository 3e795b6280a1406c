"""What work tells of itself."""

import pytest

from faithful.base.progress import Progress, counted, remark, silent, uncounted, within


def test_a_point_counts_tokens_unless_said_and_nobody_need_listen(capsys: pytest.CaptureFixture[str]) -> None:
    point = Progress("sampling train", 3, 9)
    assert (point.unit, point.note, point.cells) == ("tokens", "", ())
    assert silent(point) is uncounted(3, 9) is None
    assert capsys.readouterr() == ("", "")


def test_parts_of_the_work_are_named_after_it_and_counted_in_their_unit() -> None:
    points: list[Progress] = []
    counter = counted(within(within(points.append, "[1/2] train"), "own"), "pairs", "pairs")
    counter(1, 3)
    assert points == [Progress("[1/2] train: own: pairs", 1, 3, "pairs")]


def test_a_remark_is_no_step() -> None:
    assert remark("Something to know.") == Progress("note", 0, 0, note="Something to know.")
