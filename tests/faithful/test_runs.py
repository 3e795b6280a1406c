"""Where files go, and which run is the current one."""

from pathlib import Path

import pytest

from faithful.errors import FaithfulError
from faithful.runs import corpora_of, current_run, remember_run, run_folder, run_name


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test in a folder of its own, with runs `a`, `b` and `c`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAITHFUL_RUN", raising=False)
    for name in "abc":
        (tmp_path / "runs" / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("tiny", "tiny"), ("PYTHIA-2.8b", "pythia-2.8b"), ("EleutherAI/pythia-2.8b", "pythia-2.8b"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b"), ("allenai/OLMo-2-0425-1B", "OLMo-2-0425-1B"),
        ("/models/my model!/", "my-model-"), ("models/own_1", "own_1"),
    ],
)  # fmt: skip
def test_names_of_runs(model: str, name: str) -> None:
    assert run_name(model) == name


def test_a_name_is_under_runs_and_a_path_is_itself() -> None:
    assert run_folder("a") == Path("runs/a")
    assert run_folder("elsewhere/a") == Path("elsewhere/a")
    assert run_folder("/tmp/a") == Path("/tmp/a")


def test_the_current_run_is_the_flags_then_the_environments_then_the_last_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remember_run(Path("runs/a"))
    assert Path("runs/current").read_text() == "a\n"
    assert current_run() == Path("runs/a")
    monkeypatch.setenv("FAITHFUL_RUN", "b")
    assert current_run() == Path("runs/b")
    assert current_run("c") == Path("runs/c")
    monkeypatch.setenv("FAITHFUL_RUN", "")
    assert current_run() == Path("runs/a")
    remember_run(Path("runs/c"))
    assert current_run() == Path("runs/c")


def test_runs_elsewhere_are_not_remembered(tmp_path: Path) -> None:
    remember_run(Path("runs/a"))
    remember_run(tmp_path / "other" / "b")
    assert current_run() == Path("runs/a")


def test_no_run_or_a_missing_one_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FaithfulError, match="no current run"):
        current_run()
    with pytest.raises(FaithfulError, match="runs/d does not exist"):
        current_run("d")
    monkeypatch.setenv("FAITHFUL_RUN", "gone")
    with pytest.raises(FaithfulError, match="runs/gone does not exist"):
        current_run()


def test_corpora_of_a_run_by_name(tmp_path: Path) -> None:
    for name in ("own-t0.7", "own", "unfinished"):
        (tmp_path / "runs" / "a" / "corpora" / name).mkdir(parents=True)
    for name in ("own-t0.7", "own"):
        (tmp_path / "runs" / "a" / "corpora" / name / "corpus.json").write_text("{}")
    assert [path.name for path in corpora_of(Path("runs/a"))] == ["own", "own-t0.7"]
    assert corpora_of(Path("runs/b")) == []
