"""What commands print, and errors as one sentence."""

import pytest
import typer

from faithful.base.progress import Progress
from faithful.cli.show import command, print_table, progress


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "Error: No space left on device; mend that"),
        (PermissionError(13, "Permission denied", "/x/y"), "Error: /x/y: Permission denied; mend that"),
        (OSError("two\nlines"), "Error: two; mend that"),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_sentence(error: OSError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def fail() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        fail()
    assert ended.value.exit_code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said)
    assert len(shown.err.strip().splitlines()) == 1


def test_the_end_of_a_step_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        for done in (0, 50, 100, 100):
            report(Progress("sampling", done, 100))
        report(Progress("scoring", 0, 7))
        report(Progress("scoring", 7, 7))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["sampling: 100 of 100 tokens", "scoring: 7 of 7 tokens"]


def test_a_table_shows_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Samples", [("0", "a[bold]b [/nothing] [red"), ("1", ":smile:")], ("#", "text"))
    shown = capsys.readouterr().out
    assert "a[bold]b [/nothing] [red" in shown
    assert ":smile:" in shown
