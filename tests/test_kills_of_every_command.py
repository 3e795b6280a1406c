"""Whatever ends a command, running it again leaves what an undisturbed run leaves, and nobody sees a trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from faithful.cli import app
from tests.kills import COMMANDS, kill_all

ELSEWHERE = {
    "they write nothing": {"doctor", "models", "corpus stats", "corpus list"},
    "a part of `run`, which is killed": {"report"},
    "killed in tests of their own": {
        "publish corpus", "publish saes", "publish neuronpedia", "evaluate saebench", "evaluate sae-probes",
        "study synthetic",
    },
    "they keep what is done as the studies that are killed do, and take long or ask a server": {
        "study unlearning", "study interventions", "study explanations", "explain", "study all",
    },
    "one file after the other of what lies there": {"study variants", "export neuronpedia"},
}  # fmt: skip


def command_names(command: Any, name: str = "") -> Iterator[str]:
    """Of every command below one, as typed."""
    if not hasattr(command, "list_commands"):
        yield name.strip()
        return
    for word in command.list_commands(None):
        yield from command_names(command.get_command(None, word), f"{name} {word}")


def test_every_command_is_killed_or_said_to_need_no_killing() -> None:
    names = set(command_names(typer.main.get_command(app)))
    killed = {name for name in names for line in COMMANDS.values() if f"{line} ".startswith(f"{name} ")}
    spared = set[str]().union(*ELSEWHERE.values())
    assert (names - killed, killed & spared) == (spared, set())


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_killed_at_random_instants_then_run_again(tmp_path: Path) -> None:
    """One to four in a row per command; `python -m tests.kills FOLDER --kills 500` does more."""
    found = kill_all(tmp_path / "kills", len(COMMANDS), list(COMMANDS), seed=14)
    assert {name: (one.differing, one.records, one.traces) for name, one in found.items()} == dict.fromkeys(
        COMMANDS, ([], [], [])
    )
    assert sum(one.kills for one in found.values()) >= len(COMMANDS)
