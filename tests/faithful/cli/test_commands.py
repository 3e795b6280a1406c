"""The command line as typed: what goes to stdout, what to stderr, and with which exit code."""

import subprocess
import sys

import pytest

from tests.faithful.cli.called import call


@pytest.mark.parametrize("words", ["--help", "study probes --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    code = """
import sys
sys.argv[0] = "faithful"
from faithful.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "transformers", "polars", "datasets", "pyarrow", "numpy", "scipy", "matplotlib", "jinja2"}
print("HEAVY", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert "Usage: faithful" in done.stdout


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

    from faithful.cli import PANELS, app

    bare = CliRunner().invoke(app, [])
    assert bare.exit_code == 0
    places = [bare.output.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert all(f"│ {name} " in bare.output for names in PANELS.values() for name in names)
