"""Jobs do not stop each other, in turn or by workers."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.executor.jobs import Crew, in_turn, run_jobs
from faithful.executor.local import LocalExecutor
from faithful.executor.protocol import Share

ANEW, FORKED = Share("cpu"), Share("cpu", inherits=True)


def work(shared: Any, job: str, tell: Any) -> None:
    """A job is told; some fail, and some take their process with them."""
    tell((job, os.getpid(), os.environ.get("OMP_NUM_THREADS")))
    if job.startswith("bad"):
        raise FaithfulError(f"{job} failed.")
    if job.startswith("deadly"):
        os._exit(3)


def tell_shared(shared: Any, job: str, tell: Any) -> None:
    import torch

    tell((shared, torch.get_num_threads()))


def test_in_turn_a_job_that_fails_stops_none() -> None:
    done: list[str] = []

    def do(job: str) -> None:
        work(None, job, lambda point: done.append(point[0]))

    with pytest.raises(FaithfulError, match=r"^bad 1 failed\. bad 2 failed\.$"):
        in_turn(do, ["bad 1", "good", "bad 2", "bad 1"])
    assert done == ["bad 1", "good", "bad 2", "bad 1"]
    in_turn(do, ["good"])


def test_in_turn_what_a_user_can_mend_stops_none_and_a_fault_of_ours_does() -> None:
    """A full disk, say, or memory that ran out in one of them."""
    done: list[Exception | None] = []

    def do(job: Exception | None) -> None:
        done.append(job)
        if job:
            raise job

    full, memory, fault = OSError(28, "No space left on device", "saes"), MemoryError(), ValueError("ours")
    with pytest.raises(FaithfulError, match=r"^saes: No space left on device; .* The memory ran out"):
        in_turn(do, [full, memory, None])
    assert done == [full, memory, None]
    with pytest.raises(ValueError, match="ours"):
        in_turn(do, [fault, None])
    assert done[3:] == [fault]


@pytest.mark.parametrize("share", [ANEW, FORKED])
def test_jobs_that_fail_or_kill_their_worker_stop_none(share: Share) -> None:
    told: list[tuple[str, int, str | None]] = []
    jobs = ["bad 1", "deadly", "good 1", "bad 2", "good 2"]
    with pytest.raises(FaithfulError) as caught:
        run_jobs(work, jobs, 2, told.append, share=share, name="training")
    assert sorted(job for job, _, _ in told) == sorted(jobs)
    assert len({process for _, process, _ in told} - {os.getpid()}) == 2
    for said in ("bad 1 failed.", "bad 2 failed.", "A training process died (exit status 3)"):
        assert str(caught.value).count(said) == 1


def test_without_workers_left_the_rest_is_not_done() -> None:
    told: list[Any] = []
    with pytest.raises(FaithfulError, match=r"died .* run the same command again to go on"):
        run_jobs(work, ["deadly 1", "deadly 2", "good"], 2, told.append, share=FORKED, name="study")
    assert sorted(job for job, _, _ in told) == ["deadly 1", "deadly 2"]


def test_a_crew_stays_for_further_jobs() -> None:
    told: list[Any] = []
    with Crew(work, None, 2, FORKED, "study") as crew:
        crew.run(["a"], told.append)
        crew.run(["b", "c", "d"], told.append)
    assert sorted(job for job, _, _ in told) == ["a", "b", "c", "d"]
    assert len({process for _, process, _ in told}) <= 2


def test_a_crew_whose_workers_died_between_two_runs_says_so() -> None:
    with Crew(work, None, 2, FORKED, "study") as crew:
        crew.run(["a", "b"], lambda _: None)
        for worker in crew.executor.workers:  # type: ignore[attr-defined]
            worker.process.kill()
            worker.process.join()
        with pytest.raises(FaithfulError, match="A study process died"):
            crew.run(["c"], lambda _: None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_what_is_forked_has_what_is_loaded_and_the_rest_is_given_it() -> None:
    told: list[Any] = []

    class Local:  # cannot be pickled
        def __repr__(self) -> str:
            return "here"

    with Crew(work, Local(), 2, FORKED, "study") as crew:
        crew.run(["a", "b"], told.append)
    assert len(told) == 2
    for share in (ANEW, FORKED):
        told.clear()
        run_jobs(tell_shared, ["a", "b"], 2, told.append, share=share, name="study", shared={"panel": 3})
        assert told == [({"panel": 3}, 1)] * 2


class Replacing(LocalExecutor):
    """Processes of this machine that may be lost for no fault of their work, as those of a cluster may."""

    replaces = True


def once(shared: Any, job: str, tell: Any) -> str:
    """A job takes its process with it the first time."""
    trace = shared / job
    if not trace.exists():
        trace.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def test_others_do_what_a_lost_worker_had_in_hand(tmp_path: Path) -> None:
    jobs = ["a", "b", "c", "d"]
    with Crew(once, tmp_path, 2, FORKED, "study", Replacing()) as crew:
        assert crew.run(jobs, lambda _: None) == jobs
        assert crew.run(jobs, lambda _: None) == jobs


class Unplaced:
    """A worker that nobody has room for; it takes what it is told all the same."""

    node = ""

    def tell(self, kind: str, content: Any = None) -> bool:
        return True


class Full(LocalExecutor):
    """There is room for the second worker alone."""

    replaces = True

    def start(self, number: int, *arguments: Any) -> Any:
        return super().start(number, *arguments) if number else Unplaced()


def test_a_worker_that_is_never_placed_is_given_nothing() -> None:
    jobs = ["a", "b", "c"]
    with Crew(upper, None, 2, FORKED, "study", Full()) as crew:
        assert crew.run(jobs, lambda _: None) == ["A", "B", "C"]
        assert crew.run(jobs[:1], lambda _: None) == ["A"]


def test_that_there_is_no_room_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faithful.executor.jobs.ROOM_SECONDS", -1.0)
    said: list[str] = []

    class Busy(Full):
        """There is room for the second worker when that was said."""

        def start(self, number: int, *arguments: Any) -> Any:
            worker = super().start(number, *arguments)
            if number:
                node, worker.node = worker.node, ""
                self.place = lambda: setattr(worker, "node", node)
            return worker

    busy = Busy()

    def hear(point: Progress) -> None:
        said.append(point.note)
        busy.place()

    with Crew(upper, None, 2, FORKED, "study", busy) as crew:
        assert crew.run(["a", "b"], hear) == ["A", "B"]
        assert crew.run(["c"], hear) == ["C"]
    assert said == ["No node has room for a study process yet; it begins when others make some."]


def test_a_worker_that_replaces_one_is_waited_for_before_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute after the start: the first worker dies, and the second has no node for a few seconds."""
    seconds, said, workers = [0.0], list[Progress](), list[Unplaced]()
    monkeypatch.setattr("faithful.executor.jobs.time", SimpleNamespace(monotonic=lambda: seconds[0]))

    class Scripted(LocalExecutor):
        replaces = True

        def start(self, *_: Any) -> Any:
            workers.append(Unplaced())
            workers[-1].node = "" if workers[1:] else "one"
            return workers[-1]

        def events(self, _: float) -> Any:
            seconds[0] += 1
            told = {1: ("ready", None), 30: ("died", -9), 35: ("ready", None), 36: ("done", (0, "A"))}
            if seconds[0] in told:
                yield (workers[-1], *told[int(seconds[0])])

    with Crew(upper, None, 2, FORKED, "study", Scripted()) as crew:
        assert crew.run(["a"], said.append) == ["A"]
    assert len(workers) == 2 and not said


def upper(shared: Any, job: str, tell: Any) -> str:
    return job.upper()


def kill_worker(shared: Any, job: str, tell: Any) -> None:
    tell(job)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("deadly", "status", "begun"), [(work, "3", 1), (kill_worker, "-9", 7)])
def test_a_job_that_ends_every_worker_ends_the_crew(deadly: Any, status: str, begun: int) -> None:
    """A fault in the program at once, what looks like a lost worker after three for each."""
    told: list[Any] = []
    with (
        Crew(deadly, None, 2, FORKED, "study", Replacing()) as crew,
        pytest.raises(FaithfulError, match=rf"A study process died \(exit status {status}\)"),
    ):
        crew.run(["deadly"], told.append)
    assert len(told) == begun


def test_one_worker_works_here() -> None:
    told: list[Any] = []
    run_jobs(work, ["a"], 1, told.append, share=ANEW, name="study")
    assert told[0][1] == os.getpid()
    with pytest.raises(FaithfulError, match="bad failed"):
        run_jobs(work, ["bad", "never"], 1, told.append, share=ANEW, name="study")
    assert "never" not in {job for job, _, _ in told}
