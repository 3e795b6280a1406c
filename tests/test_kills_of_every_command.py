"""Whatever ends a command, running it again leaves what an undisturbed run leaves, and nobody sees a trace."""

from pathlib import Path

import pytest

from tests.kills import COMMANDS, kill_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 13


def test_killed_at_random_instants_then_run_again(tmp_path: Path) -> None:
    """One to four in a row per command; `python -m tests.kills FOLDER --kills 500` does more."""
    found = kill_all(tmp_path / "kills", KILLS, list(COMMANDS), seed=14)
    assert {name: (one.differing, one.records, one.traces) for name, one in found.items()} == dict.fromkeys(
        COMMANDS, ([], [], [])
    )
    assert sum(one.kills for one in found.values()) >= KILLS
