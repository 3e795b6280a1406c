"""Whether the environment is there, runs, and has the versions that its figures were looked at with."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from studies.bridge.environment import LOOKED_AT, check_environment, how_to_make, requirements, wanted
from tests.studies.bridge.stub import write_stub


def test_an_environment_of_these_versions_is_taken(tmp_path: Path) -> None:
    assert check_environment(write_stub(tmp_path, torch=f"{wanted()['torch']}+cpu"))["sae-bench"] == "0.6.0"


def test_a_missing_one_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        FaithfulError, match=r"There is no .*bin/python: .*make it with `python3 -m venv .*--no-deps -r .*`"
    ):
        check_environment(tmp_path / "bin" / "python")
    assert str(requirements()) in how_to_make() and requirements().is_file()


def test_other_versions_are_refused_by_name(tmp_path: Path) -> None:
    stub = write_stub(tmp_path, sae_bench="0.5.1", numpy="")
    told = r"sae-bench 0\.5\.1 \(wanted: 0\.6\.0\), numpy missing \(wanted: 1\.26\.4\)"
    with pytest.raises(FaithfulError, match=told):
        check_environment(stub)


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no json\n", "no program"])
def test_what_does_not_run_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text(content)
    path.chmod(0o755)
    with pytest.raises(FaithfulError, match="does not run"):
        check_environment(path)


def test_every_package_is_pinned_and_none_that_is_left_out() -> None:
    lines = [line for line in requirements().read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "://" not in line for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert set(LOOKED_AT) <= names and "torchvision" not in names
