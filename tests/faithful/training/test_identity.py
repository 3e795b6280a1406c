"""What makes one trained SAE the same as another."""

from faithful.hooks.hook import Hook
from faithful.training.identity import shape_name


def test_a_shape_is_called_by_its_hook_width_and_k() -> None:
    assert shape_name(Hook(8, "resid_pre"), 12288, 16) == "resid_pre.8-f12288-k16"
    assert shape_name(Hook(8, "resid_pre"), 12288, 16, "thrifty") == "resid_pre.8-f12288-k16-thrifty"
