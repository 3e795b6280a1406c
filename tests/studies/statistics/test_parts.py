import numpy as np
import pytest

from studies.statistics.parts import Parts
from studies.statistics.resampled import Resampled


def test_a_text_is_the_mean_over_its_parts_alike() -> None:
    parts = Parts(
        {"own": {"own": {0: 1.0, 1: None}}, "web": {"own": {0: 3.0, 1: 4.0}}, "prose": {"own": {0: 5.0, 1: 6.0}}},
        matched=("own",),
        foreign=("web", "prose"),
    )
    assert parts.on_texts("m") == {
        "m_matched": ("matched", ("own",), {"own": {0: 1.0, 1: None}}),
        "m_foreign": ("foreign", ("web", "prose"), {"own": {0: 4.0, 1: 5.0}}),
    }
    assert list(Parts(parts.figures, matched=("own",)).on_texts("m")) == ["m_matched"]


def test_a_seed_that_lacks_a_part_has_no_mean_and_resamples_are_averaged_with_their_figures() -> None:
    few = Parts({"a": {"own": {0: 1.0}}, "b": {"own": {0: None}}}, foreign=("a", "b")).on_texts("m")
    assert few["m_foreign"][2] == {"own": {0: None}}
    one, other = (
        Resampled({0: value}, {0: np.array([value, value + 1])}, units) for value, units in ((1.0, 9), (3.0, 5))
    )
    found = Parts({"a": {"own": one}, "b": {"own": other}}, foreign=("a", "b")).on_texts("m")["m_foreign"][2]["own"]
    assert isinstance(found, Resampled) and found[0] == 2.0 and found.units == 5
    assert found.draws[0] == pytest.approx([2.0, 3.0])
