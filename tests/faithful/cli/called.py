"""Commands called in this process."""

from click.testing import Result
from typer.testing import CliRunner

from faithful.cli import app


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def refused(*arguments: str) -> str:
    """The one sentence on stderr of a command that exits with 2 and says nothing on stdout, after what it began with."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.strip().splitlines() if not line.startswith("Reading ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]
