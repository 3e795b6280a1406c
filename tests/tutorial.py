"""A page of docs/ that is run as it stands: its commands and its Python, in order, in one folder.

A page with the comment `RUN` in it is a tutorial. Every ```bash and ```python block of it is run, and the ```text block
that follows one, if any, is all that it printed, on stdout and stderr. In such a block `…` stands for anything within a line,
and a line of `…` alone for any lines.
"""

import re
from dataclasses import dataclass

from tests.shell import Shell

RUN = "<!-- run by tests/test_tutorials.py -->"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ONE_STREAM = "os.dup2(1, 2); sys.stdout.reconfigure(write_through=True)"
"""What a command does first, so that its two streams are one, as on a terminal."""


AS_A_SCRIPT = "exec(compile({code!r}, 'block.py', 'exec'), {{'__name__': '__main__'}}); sys.exit()"
"""Python in place of a command, in a process of its own that has imported already what most of it asks for."""


@dataclass(frozen=True)
class Step:
    """A block that is run."""

    language: str
    """bash (commands of `faithful`, one a line) or python."""

    code: str
    """What stands in it."""

    expected: str | None
    """What it must print; None where the page does not say."""


def steps(text: str) -> list[Step]:
    """The steps of a page.

    Raises:
        ValueError: A block of text follows nothing that is run, or a block is in another language: it would look tested.
    """
    found: list[Step] = []
    for language, body in FENCE.findall(text):
        if language in ("bash", "python"):
            found.append(Step(language, body, None))
        elif language == "text" and found and found[-1].expected is None:
            found[-1] = Step(found[-1].language, found[-1].code, body)
        else:
            raise ValueError(f"Nothing is run for this block ({language or 'no language'}): {body[:80]}")
    return found


def run(step: Step, shell: Shell) -> str:
    """Run a step in the folder of the shell and return what it printed; Python is run there as a script, in a fork, too.

    Raises:
        AssertionError: It did not end with 0.
    """
    if step.language == "python":
        ended = [shell("faithful", f"{ONE_STREAM}; {AS_A_SCRIPT.format(code=step.code)}")]
    else:
        lines = [line.partition(" #")[0] for line in step.code.splitlines()]
        ended = [shell(line, ONE_STREAM) for line in lines]
    for done in ended:
        assert done.code == 0, f"{step.code}\nended with {done.code}:\n{done.stdout}"
    return "".join(done.stdout for done in ended)


def matches(expected: str, printed: str) -> bool:
    """Whether this is what was to be printed; runs of blanks and tabs are alike, those at the end of a line do not count."""
    pattern = ""
    for line in _lines(expected):
        pattern += r"(?:.*\n)*?" if line == "…" else ".*".join(re.escape(part) for part in line.split("…")) + "\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    return [re.sub(r"[ \t]+", " ", line).rstrip() for line in text.strip().split("\n")]
