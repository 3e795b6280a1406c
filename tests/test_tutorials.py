"""The tutorials of docs/ say what happens: each is run from top to bottom, its outputs compared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shell import Shell
from tests.tutorial import RUN, Step, matches, run, steps

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = [page for page in sorted(DOCS.glob("*.md")) if RUN in page.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("tutorials") / "folder") as shell:
        yield shell


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page: Path, shell: Shell, tmp_path: Path) -> None:
    shell.folder = tmp_path
    found = steps(page.read_text(encoding="utf-8"))
    assert any(step.expected for step in found)
    for step in found:
        printed = run(step, shell)
        assert step.expected is None or matches(step.expected, printed), f"{step.code}\nprinted\n{printed}"


def test_blocks_are_found_in_order_with_what_they_print() -> None:
    page = "A\n```bash\nfaithful a\n```\nprints\n```text\na\n```\n```python\nprint(1)\n```\n"
    assert steps(page) == [Step("bash", "faithful a\n", "a\n"), Step("python", "print(1)\n", None)]


@pytest.mark.parametrize(
    "block", ["```text\nalone\n```\n", "```bash\na\n```\n```text\na\n```\n```text\na\n```\n", "```\na\n```\n"]
)
def test_a_block_that_nothing_is_run_for_is_refused(block: str) -> None:
    with pytest.raises(ValueError, match="Nothing is run for this block"):
        steps(block)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_steps_share_a_folder_and_both_streams_are_what_was_printed(shell: Shell, tmp_path: Path) -> None:
    shell.folder = tmp_path
    run(Step("python", "open('kept', 'w').write('7')", None), shell)
    assert run(Step("python", "import sys\nprint(open('kept').read(), file=sys.stderr)", None), shell) == "7\n"
    assert run(Step("bash", "faithful --version  # said", None), shell).startswith("faithful ")
    with pytest.raises(AssertionError, match=r"ended with 2:\nError: .*kept"):
        run(Step("bash", "faithful corpus certify kept", None), shell)
    with pytest.raises(AssertionError, match="ended with 1:"):
        run(Step("python", "raise ValueError", None), shell)


@pytest.mark.parametrize(
    ("expected", "printed", "equal"),
    [
        ("a 1.25\n", "a\t1.25  \n", True),
        ("a …\nb", "a 1.25\nb\n", True),
        ("a … c", "a 1\n2 c", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("a\n…\nd", "a\nb\nc", False),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
    ],
)
def test_only_what_is_left_open_may_differ(expected: str, printed: str, equal: bool) -> None:
    assert matches(expected, printed) is equal
