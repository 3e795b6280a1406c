"""What `corpus add` is told."""

from generation.configs.add import AddConfig


def test_the_reading_is_what_is_stated_of_it() -> None:
    config = AddConfig("x", model="tiny", split="test", columns=("a", "b"), leave_out=(), seed=3)
    assert config.reading() == {"split": "test", "columns": ("a", "b"), "leave_out": ()}
