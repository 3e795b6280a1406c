"""The quickstart runs: every command and every block of Python as it stands, in one folder, on fewer tokens and seeds."""

import re
from pathlib import Path

import pytest

from tests.shell import Shell
from tests.tutorial import Step, run, steps

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"
FEWER = (
    (r"^faithful generate  ", "faithful generate --tokens 4k --held-out 1k "),
    (r"(corpus add \w+ --tokens) 200k", r"\1 4k --held-out 1k"),
    (r"\b400k\b", "5k"),
    (r"--seeds 0-5", "--seeds 0"),
    (r"tokens=20_000", "tokens=3_000, held_out=1_000"),
)
"""What is written otherwise, so that it takes minutes on one core."""


def fewer(code: str) -> str:
    """The same on fewer tokens and seeds."""
    for pattern, instead in FEWER:
        code = re.sub(pattern, instead, code, flags=re.MULTILINE)
    return code


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_on_the_page_runs(tmp_path: Path) -> None:
    found = steps(PAGE.read_text(encoding="utf-8"))
    assert [step.language for step in found] == ["bash", "bash", "python", "python"]
    with Shell(tmp_path / "folder") as shell:
        printed = [run(Step(step.language, fewer(step.code), None), shell) for step in found]
    commands = "".join(step.code for step in found[:2]).splitlines()
    assert all(line.startswith("faithful ") for line in commands) and len(commands) == 11
    assert "verdict\tnot from this distribution" in printed[0] and "4 SAEs trained on" in printed[1]
    assert float(printed[2].split()[-1]) > 0.1
    shape, *strongest = re.findall(r"^torch\.Size.*|^\d+ '.*' \d+\.\d+$", printed[3], re.MULTILINE)
    assert re.fullmatch(r"torch.Size\(\[\d+, 1024\]\)", shape) and len(strongest) == 5
    assert printed[3].strip().splitlines()[-1].startswith(("'", '"'))
