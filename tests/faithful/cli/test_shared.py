"""What commands have besides their configuration."""

import shlex
from dataclasses import dataclass

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part
from faithful.cli.shared import array_line, gpus_of, refuse_assumptions, working
from faithful.executor.where import Here, at, current_place
from tests.faithful.cli.called import refused


def test_an_assumed_gpu_is_for_forecasts_and_known() -> None:
    refuse_assumptions(None, dry_run=False)
    refuse_assumptions("h100", dry_run=True)
    with pytest.raises(FaithfulError, match="--assume is for forecasts"):
        refuse_assumptions("h100", dry_run=False)
    with pytest.raises(FaithfulError, match="h200"):
        refuse_assumptions("abacus", dry_run=True)


def test_work_is_done_where_it_is_said_to_be() -> None:
    with working("local", None):
        assert current_place().is_here
    for executor, address, said in [
        ("slurm", None, "'slurm' is no executor; choose local or ray"),
        ("local", "auto", "add --executor ray"),
    ]:
        with pytest.raises(FaithfulError, match=said), working(executor, address):
            pass


@pytest.mark.parametrize("words", [("generate",), ("run", "demo"), ("train",)], ids=str)
def test_a_dry_run_too_has_a_known_executor(words: tuple[str, ...]) -> None:
    assert "is no executor" in refused(*words, "--executor", "slurm", "--dry-run")
    assert "add --executor ray" in refused(*words, "--ray", "auto", "--dry-run")


def test_without_ray_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FaithfulError, match=r"pip install 'faithful-sae\[ray\]'"), working("ray", None):
        pass


@dataclass
class Job:
    device: str = "cuda"
    workers: int | None = None
    shard_model: bool = False


def test_a_job_has_a_gpu_for_each_worker_or_all_for_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine(Here):
        def gpus(self, each: int = 1) -> int:
            return 8

    assert [gpus_of(Job()), gpus_of(Job(workers=3)), gpus_of(Job("cpu", 3)), gpus_of(Job("cpu"), "h100")] == [
        1,
        3,
        0,
        1,
    ]
    monkeypatch.setattr(Here, "gpus", lambda self, each=1: 0)
    assert gpus_of(Job(shard_model=True)) == 2, "of a machine that is not here"
    with at(Machine()):
        assert gpus_of(Job(shard_model=True)) == 8


def test_corpora_are_named_or_taken_from_a_run() -> None:
    for command in ("stats", "certify", "mix", "shuffle", "dedup", "subsample"):
        assert "--run is for corpora that are not named" in refused("corpus", command, "a", "--run", "b")


def test_the_line_for_a_batch_system_leaves_the_number_of_the_job_to_the_job() -> None:
    line = array_line("faithful generate --out 'a b'", Part(3, 16), 2, 3600)
    words = shlex.split(line)
    assert words[:-1] == ["sbatch", "--array=0-15", "--gpus=2", "--time=130", "--wrap"]
    assert words[-1] == "faithful generate --out 'a b' --part $SLURM_ARRAY_TASK_ID/16"
    assert array_line("x", Part(0, 1), 0) == "sbatch --array=0-0 --wrap 'x --part $SLURM_ARRAY_TASK_ID/1'"
