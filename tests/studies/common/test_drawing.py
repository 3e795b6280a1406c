"""The look of figures."""

from itertools import combinations

import numpy as np
import pytest

from studies.common.drawing import FIXED, PALETTE, colours, label_points, new_figure


def test_a_corpus_has_one_colour_in_every_figure() -> None:
    """Whatever stands beside it, and in whatever order."""
    whole = colours(["own", "stdlib", "prose", "letters"])
    for names in (["prose", "own"], ["letters", "stdlib"], ["stdlib"], ["own", "letters", "prose"]):
        assert {name: whole[name] for name in names} == colours(names)


def test_no_two_of_a_figure_are_alike_while_there_are_colours() -> None:
    names = [f"corpus {place}" for place in range(len(PALETTE))]
    assert len(set(colours(names).values())) == len(PALETTE)
    assert len(set(colours(["own", *names[:9]]).values())) == 10
    assert len(colours([f"corpus {place}" for place in range(30)])) == 30, (
        "more corpora than colours still get one each"
    )


def test_recipes_corpora_differ_where_they_meet() -> None:
    for together in (("own", "stdlib", "prose", "noise"), ("own", "fineweb", "pile", "flan")):
        assert len({FIXED[name] for name in together}) == 4


def boxes(points: list[tuple[float, float]], names: list[str]) -> np.ndarray:
    """Where the labels of points come to stand: left, bottom, right, top, and where the points are, in pixels."""
    _, axes = new_figure(4.0)
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    label_points(axes, names, points)
    labels = {text.get_text(): text.get_window_extent().extents for text in axes.texts if text.get_text()}
    assert set(labels) == set(names)
    frame = axes.bbox.extents
    found = np.array([labels[name] for name in names])
    assert (found[:, :2] >= frame[:2]).all() and (found[:, 2:] <= frame[2:]).all()
    dots = axes.transData.transform(np.array(points))
    inside = (dots[:, None] > found[None, :, :2]) & (dots[:, None] < found[None, :, 2:])
    assert not inside.all(-1).any(), "a label covers a point"
    return found


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.0), (0.02, 0.0), (0.0, 0.03)],
        [(0.99, 0.99), (-0.99, -0.99), (0.99, -0.99)],
        [(0.1 * (place % 3), 0.05 * (place // 3)) for place in range(9)],
    ],
)
def test_labels_cover_neither_each_other_nor_a_point_nor_the_edge(points: list[tuple[float, float]]) -> None:
    found = boxes(points, [f"corpus-{place}" for place in range(len(points))])
    for one, other in combinations(found, 2):
        shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        assert (shared <= 0).any()


def test_a_label_stands_beside_its_point_and_off_the_bars() -> None:
    _, axes = new_figure(4.0)
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    label_points(axes, ["own"], [(0.0, 0.0)], [(-0.5, 0.0, 0.5, 0.0), (0.0, -0.5, 0.0, 0.5)])
    (text,) = axes.texts
    assert text.get_fontsize() >= 10
    extent, (x, y) = text.get_window_extent(), axes.transData.transform((0, 0))
    assert extent.y0 > y and extent.x0 > x and np.hypot(extent.x0 - x, extent.y0 - y) < 20
