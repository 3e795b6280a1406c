"""Jobs do not stop each other, in turn or in processes of their own."""

import os
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.executor.local import in_turn, spread


def work(job: str, number: int, told: Any) -> None:
    """A job is told; some fail, and some take their process with them."""
    told((job, number))
    if job.startswith("bad"):
        raise FaithfulError(f"{job} failed.")
    if job.startswith("deadly"):
        os._exit(3)


def test_in_turn_a_job_that_fails_stops_none() -> None:
    done: list[str] = []

    def do(job: str) -> None:
        work(job, 0, done.append)

    with pytest.raises(FaithfulError, match=r"^bad 1 failed\. bad 2 failed\.$"):
        in_turn(do, ["bad 1", "good", "bad 2", "bad 1"])
    assert [job for job, _ in done] == ["bad 1", "good", "bad 2", "bad 1"]
    in_turn(do, ["good"])


def test_jobs_that_fail_or_kill_their_worker_stop_none() -> None:
    told: list[tuple[str, int]] = []
    jobs = ["bad 1", "deadly", "good 1", "bad 2", "good 2"]
    with pytest.raises(FaithfulError) as caught:
        spread(work, jobs, 2, told.append)
    assert sorted(job for job, _ in told) == sorted(jobs)
    assert {number for _, number in told} == {0, 1}
    for said in ("bad 1 failed.", "bad 2 failed.", "A training process died (exit status 3)"):
        assert str(caught.value).count(said) == 1


def test_without_workers_left_the_rest_is_not_done() -> None:
    told: list[tuple[str, int]] = []
    with pytest.raises(FaithfulError, match=r"died .* run the same command again to go on"):
        spread(work, ["deadly 1", "good"], 1, told.append)
    assert told == [("deadly 1", 0)]
