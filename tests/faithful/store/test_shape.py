"""What folders and tables call SAEs that differ in width, k or variant."""

import pytest

from faithful.sae.variant import find_variant
from faithful.store.shape import Shape, shape_name, short_name


def test_topk_is_called_by_width_and_k_alone() -> None:
    assert Shape(12288, 16, find_variant("topk", {})).name == shape_name(12288, 16) == "f12288-k16"


@pytest.mark.parametrize(
    ("variant", "parameters", "name"),
    [
        ("anneal", {"start": 4.0, "until": 0.8}, "anneal"),
        ("anneal", {"start": 2.0, "until": 0.8}, "anneal-s2"),
        ("anneal", {"start": 4.0, "until": 0.25}, "anneal-u0.25"),
        ("compression", {"keep": 0.3, "epsilon": 1e-05}, "compression-k0.3-e1e-05"),
        ("compression", {"schedule": "at once", "warmup": 0.2, "until": 0.5}, "compression-sat_once-w0.2-u0.5"),
        ("correlation", {"damped": True, "start": 2.0, "sample": 64}, "correlation-st2-dtrue-sa64"),
    ],
)
def test_what_is_not_by_default_is_called_by_the_beginning_of_its_name(
    variant: str, parameters: dict[str, object], name: str
) -> None:
    assert short_name(variant, parameters) == name
    assert Shape(64, 4, find_variant(variant, parameters)).name == f"f64-k4-{name}"


def test_of_a_variant_that_is_gone_all_is_said() -> None:
    assert short_name("gone", {"alpha": 0.2, "also": True}) == "gone-alpha0.2-alsotrue"
    assert short_name("anneal", {"start": 4.0, "speed": 2}) == "anneal-speed2"
