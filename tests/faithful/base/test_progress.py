"""What work tells of itself."""

from faithful.base.progress import Progress, silent


def test_a_point_counts_tokens_unless_said_and_nobody_need_listen(capsys) -> None:
    point = Progress("sampling train", 3, 9)
    assert (point.unit, point.note) == ("tokens", "")
    assert silent(point) is None
    assert capsys.readouterr() == ("", "")
