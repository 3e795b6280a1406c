"""A configuration as a command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from faithful.options.line import command_line, folded
from tests.faithful.options.toy import ToyConfig, ToyOfSettings, ToyWithOneMore


def test_only_what_is_no_default_is_stated_and_quoted() -> None:
    assert command_line(ToyConfig(Path("a b"))) == "faithful toy 'a b'"
    assert command_line(ToyConfig(Path("-x"), tokens=30_000, seeds=(4, 5, 6, 9), fast=True, kept=False)) == (
        "faithful toy --tokens 30000 --seeds 4-6,9 --fast --no-kept -- -x"
    )
    assert command_line(ToyOfSettings(depth=0, shades=("a", "b c"), heat=1e-05)) == (
        "faithful toy --set depth=0 --set shades='a,b c' --set heat=1e-05"
    )


def test_a_command_of_a_class_states_what_is_given() -> None:
    assert command_line(ToyConfig, tokens=5, run="x y", dry_run=True, kept=None) == (
        "faithful toy --tokens 5 --run 'x y' --dry-run"
    )


def test_long_commands_are_folded_where_a_word_ends() -> None:
    config = ToyWithOneMore(Path("a"), colours=tuple(f"colour {number}" for number in range(9)))
    lines = folded(config).split(" \\\n  ")
    assert len(lines) > 1 and all(len(line) <= 100 for line in lines)
    assert " ".join(lines) == command_line(config)


def test_what_cannot_be_typed_is_refused() -> None:
    for config in (replace(ToyConfig(Path("a")), hidden=1), ToyConfig(Path("a"), fast=None)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cannot be typed"):
            command_line(config)
