"""The command line as typed: what goes to stdout, what to stderr, and with which exit code."""

import json
import subprocess
import sys

import pytest

from faithful.cli import PANELS, app
from tests.faithful.cli.called import call

LIBRARIES = {"torch", "transformers", "polars", "datasets", "pyarrow", "numpy", "scipy", "matplotlib", "jinja2"}
PROCESSES = {"multiprocessing", "socket", "ctypes"}


def loaded(*words: str) -> dict[str, list[str]]:
    """Modules that a help has loaded, each with the configurations in it."""
    code = """
import json, sys
sys.argv[0] = "faithful"
from faithful.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
ours = ("faithful.", "generation.", "studies.")
print(json.dumps({
    name: [kind.COMMAND for kind in vars(module).values() if hasattr(kind, "COMMAND") and kind.__module__ == name]
    if name.startswith(ours) else [] for name, module in sys.modules.items()
}))
"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: faithful" in done.stdout
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_help_of_a_command_imports_nothing_heavy() -> None:
    assert LIBRARIES & loaded("study", "probes", "--help").keys() == set()


def test_the_help_of_all_imports_nothing_heavy_and_no_options_of_commands_that_it_shows_in_groups() -> None:
    found = loaded("--help")
    assert (LIBRARIES | PROCESSES) & found.keys() == set()
    alone = {one.callback.config.__module__ for one in app.registered_commands if hasattr(one.callback, "config")}
    assert {name for name, commands in found.items() if commands} == alone


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["generate", "--help"], ["corpus", "--help"], ["corpus", "certify", "-h"]]
)
def test_every_command_explains_itself(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "faithful", "models"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "pythia-2.8b" in done.stdout
    assert "Next: faithful generate" in done.stderr
    assert "Next:" not in done.stdout


def test_without_a_command_the_help_lists_all_under_headings_and_nothing_failed() -> None:
    from typer.testing import CliRunner

    bare = CliRunner().invoke(app, [])
    assert bare.exit_code == 0
    places = [bare.output.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert all(f"│ {name} " in bare.output for names in PANELS.values() for name in names)
