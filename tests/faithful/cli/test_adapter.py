"""An option is one field: in the help, as it is typed, and in the command line that states it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from faithful.cli import app as whole
from faithful.cli.adapter import Explained, Stated, configured, settings_help
from faithful.cli.show import command
from faithful.options.line import command_line, folded
from faithful.options.marks import ARGUMENT, MAY_BE_MISSING
from tests.faithful.options.toy import ToyConfig, ToyOfSettings, ToyWithOneMore


@dataclass(frozen=True)
class ToyOfRun:
    """What the command finds out where it is not typed."""

    COMMAND: ClassVar = "toy"

    place: Annotated[Path, ARGUMENT, MAY_BE_MISSING]
    """Where it is."""
    depth: int = 3
    """How deep."""


seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield


def app_of(function: Any) -> typer.Typer:
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
    app.command("toy", cls=Explained)(command(configured(function)))
    app.command("other")(lambda: None)
    return app


def toy(config: ToyConfig, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
    """Do it."""
    seen.append((config, loud))


def toy_with_one_more(config: ToyWithOneMore) -> None:
    """Do it."""
    seen.append(config)


def toy_of_run(stated: Stated[ToyOfRun]) -> None:
    """Do it."""
    seen.append((stated.values, stated.build(**{"place": Path("found")} | stated.values)))


def test_the_help_is_the_fields_docstrings() -> None:
    shown = " ".join(CliRunner().invoke(app_of(toy), ["toy", "-h"], env={"COLUMNS": "200"}).stdout.split())
    for words in (
        "Where it is.",
        "How many [at most].",
        "Which of them. Default 0-2.",
        "--fast -f",
        "Speed",
        "--no-kept",
    ):
        assert words in shown
    assert "second paragraph" not in shown and "Nobody" not in shown and "--hidden" not in shown


def test_a_field_is_all_that_a_new_option_takes() -> None:
    app = app_of(toy_with_one_more)
    assert "Colour; repeat it." in CliRunner().invoke(app, ["toy", "-h"]).stdout
    config = ToyWithOneMore(Path("here"), colours=("deep red", "blue"))
    line = command_line(config)
    assert line == "faithful toy here --colours 'deep red' --colours blue"
    assert CliRunner().invoke(app, shlex.split(line)[1:]).exit_code == 0
    assert seen == [config]


@pytest.mark.parametrize(
    "config",
    [
        ToyConfig(Path("a")),
        ToyConfig(Path("-a b"), tokens=30_000, seeds=(4, 5), fast=True, kept=False),
        ToyConfig(Path("$HOME;'"), kept=True),
    ],
    ids=str,
)
def test_there_and_back(config: ToyConfig) -> None:
    done = CliRunner().invoke(app_of(toy), shlex.split(folded(config).replace("\\\n", ""))[1:])
    assert done.exit_code == 0, done.output
    assert seen == [(config, False)]


def test_what_is_not_typed_is_known_from_what_is() -> None:
    app = app_of(toy_of_run)
    for typed in (["toy"], ["toy", "here", "--depth", "3"]):
        assert CliRunner().invoke(app, typed).exit_code == 0
    assert seen[0] == ({}, ToyOfRun(Path("found")))
    assert seen[1] == ({"place": Path("here"), "depth": 3}, ToyOfRun(Path("here")))


def test_a_bad_value_is_one_sentence_and_a_missing_argument_is_refused() -> None:
    refused = CliRunner().invoke(app_of(toy), ["toy", "x", "--seeds", "-1"])
    assert refused.exit_code == 2 and seen == []
    assert refused.stderr == "Error: '-1' is no list of whole numbers; write --seeds 0-5 or --seeds 0,1,42.\n"
    assert CliRunner().invoke(app_of(toy), ["toy"]).exit_code == 2


def test_every_configured_command_is_explained() -> None:
    group: Any = typer.main.get_command(whole)
    commands = [*group.commands.values()]
    inner = [one for one in commands if hasattr(one, "list_commands")]
    commands += [one.get_command(None, name) for one in inner for name in one.list_commands(None)]
    configured = [one for one in commands if hasattr(one.callback, "config")]
    assert len(configured) >= 19 and all(isinstance(one, Explained) for one in configured)


def test_settings_are_read_and_shown_at_the_end_of_the_help() -> None:
    def toy_of_settings(config: ToyOfSettings) -> None:
        seen.append(config)

    app = app_of(toy_of_settings)
    config = ToyOfSettings(5, ("a", "b c"), parts=(1, 2))
    assert CliRunner().invoke(app, shlex.split(command_line(config))[1:]).exit_code == 0
    assert seen == [config]
    assert settings_help(ToyOfSettings).splitlines()[:4:2] == ["Settings for --set (default):", "depth (3): How deep."]
    for words, said in (
        ("depth", "is no setting; write --set NAME=VALUE"),
        ("odd=1", "--set of toy states 'odd'"),
        ("parts=a", "write --set parts=0-5 or --set parts=0,1,42."),
    ):
        assert said in CliRunner().invoke(app, ["toy", "--set", words]).stderr
    twice = CliRunner().invoke(app, ["toy", "--set", "depth=1", "--set", "depth=2"])
    assert twice.exit_code == 2 and "--set states depth twice; give it once." in twice.stderr
