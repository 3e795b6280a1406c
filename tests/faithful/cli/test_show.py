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


def test_without_a_terminal_a_step_has_a_line_after_3_s_then_every_30_s_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("faithful.cli.show.time.monotonic", lambda: now)
    crew = [{"worker": n, "node": "ab"[n % 2], "state": "drawing", "rate": 50.0} for n in range(4)]
    seen = []
    with progress() as report:
        for second in range(101):
            now = 1000.0 + second
            report(Progress("sampling", 10 * second, 1000, workers=crew))
            if said := capsys.readouterr().err:
                seen.append((second, said))
    assert [second for second, _ in seen] == [3, 33, 63, 93, 100]
    assert seen[1][1] == "sampling: 330 of 1,000 tokens, 10/s, 1 min 07 s left; 4 drawing on 2 nodes\n"


def test_a_table_shows_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Samples", [("0", "a[bold]b [/nothing] [red"), ("1", ":smile:")], ("#", "text"))
    shown = capsys.readouterr().out
    assert "a[bold]b [/nothing] [red" in shown
    assert ":smile:" in shown
