"""Where files go, and which run is the current one."""

import re
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.store.corpus import read_manifest
from faithful.store.places import corpora_in, corpora_of, current_run, remember_run, run_folder, run_name, saes_in


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
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b"), ("org/My-Model-1B", "My-Model-1B"),
        ("/models/my model!/", "my-model-"), ("models/own_1", "own_1"),
        ("models/日本語", "日本語"), ("models/.hidden", "hidden"), ("models/...", "run"),
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


def test_a_run_stands_for_its_corpora_and_for_its_saes(elsewhere: Path) -> None:
    run = Path("runs/a")
    for name in ("own", "prose"):
        (run / "corpora" / name).mkdir(parents=True)
        (run / "corpora" / name / "corpus.json").touch()
    (run / "saes" / "own").mkdir(parents=True)
    both = [run / "corpora" / "own", run / "corpora" / "prose"]
    for stated in (run, Path("a"), run / "corpora", elsewhere / "runs" / "a"):
        assert [one.resolve() for one in corpora_in(stated)] == [one.resolve() for one in both], stated
    assert corpora_in(both[1]) == [both[1]]
    assert corpora_in(both[1], run, both[0]) == [both[1], both[0]], "each once, in the order named"
    assert corpora_in(Path("runs/b")) == [Path("runs/b")], "an empty run is for whoever reads it to refuse"
    assert saes_in(run) == saes_in(Path("a")) == saes_in(run / "saes") == run / "saes"
    assert saes_in(run / "saes" / "own") == run / "saes" / "own"


def test_what_is_no_corpus_names_those_below_it_or_nearly_called_so(elsewhere: Path) -> None:
    (elsewhere / "runs/a/corpora/own-t0.7").mkdir(parents=True)
    (elsewhere / "runs/a/corpora/own-t0.7/corpus.json").touch()
    for stated, said in (
        ("runs/a", "name one of those below it: runs/a/corpora/own-t0.7."),
        ("runs/a/corpora", "name one of those below it: runs/a/corpora/own-t0.7."),
        ("own-t0.7", "Did you mean runs/a/corpora/own-t0.7?"),
        ("runs/a/corpora/own_t07", "own-t0.7?"),
    ):
        with pytest.raises(FaithfulError, match=re.escape(said)):
            read_manifest(Path(stated))
    with pytest.raises(FaithfulError, match=r"make one with `faithful generate`\.$"):
        read_manifest(Path("runs/b"))
