"""What makes one trained SAE the same as another."""

from faithful.hooks.hook import Hook
from faithful.training.identity import identity_sha256, shape_name


def test_an_identity_is_its_content_and_not_its_order() -> None:
    one = {"model": "tiny", "k": 4, "betas": [0.9, 0.99]}
    assert identity_sha256(one) == identity_sha256(dict(reversed(one.items())))
    assert len({identity_sha256(one | change) for change in ({}, {"k": 5}, {"lr": None}, {"betas": [0.99, 0.9]})}) == 4


def test_a_shape_is_called_by_its_hook_width_and_k() -> None:
    assert shape_name(Hook(8, "resid_pre"), 12288, 16) == "resid_pre.8-f12288-k16"
    assert shape_name(Hook(8, "resid_pre"), 12288, 16, "thrifty") == "resid_pre.8-f12288-k16-thrifty"
