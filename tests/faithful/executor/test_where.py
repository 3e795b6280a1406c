"""Where work is handed out to, and what there is of it."""

from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.executor.local import LocalExecutor
from faithful.executor.protocol import Share
from faithful.executor.where import Here, at, current_place, refuse_missing_gpus, refuse_unsharded, share_of


class Far(Here):
    """Somewhere else, with six GPUs."""

    is_here = False

    def gpus(self, each: int = 1) -> int:
        return 6 - 6 % each


def test_work_is_done_here_but_where_another_place_is_said() -> None:
    far: Any = Far()
    assert current_place().is_here
    with at(far):
        assert current_place() is far
    assert current_place().is_here
    assert isinstance(current_place().executor("x"), LocalExecutor)
    assert [current_place().count(workers, Share("cpu")) for workers in (None, 3)] == [1, 3]


def test_shares_are_equal_and_gpus_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [share_of("cpu", workers).threads for workers in (None, 1, 3, 20)] == [8, 8, 2, 1]
    assert share_of("cpu", 2, threads=5).threads == 5
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FaithfulError, match="torch sees no GPU here"):
        share_of("cuda", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert share_of("cuda", 2).device == "cuda"
    with pytest.raises(FaithfulError, match="--workers 3 needs as many GPUs, and there are 2; use at most --workers 2"):
        share_of("cuda", 3)


def test_workers_times_their_gpus_must_fit() -> None:
    with at(Far()):
        refuse_missing_gpus(3, each=2)
        with pytest.raises(FaithfulError, match=r"--workers 4 with --tensor-parallel 2 needs 8 GPUs.* --workers 3"):
            refuse_missing_gpus(4, each=2)
        with pytest.raises(FaithfulError, match=r"--workers 1 with --tensor-parallel 8 .*most --tensor-parallel 6"):
            refuse_missing_gpus(None, each=8)


def test_a_model_is_spread_over_several_gpus_of_this_machine_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, gpus, said in (("cpu", 8, "this work has none"), ("cuda", 0, "has none"), ("cuda", 1, "there is one")):
        monkeypatch.setattr(Here, "gpus", lambda _, each=1, there=gpus: there)
        with pytest.raises(
            FaithfulError, match=f"^--shard-model spreads a model over several GPUs, and .*{said}; leave it out"
        ):
            refuse_unsharded(device, None)
    monkeypatch.setattr(Here, "gpus", lambda _, each=1: 2)
    with pytest.raises(FaithfulError, match=r"gives one process all 2 GPUs; leave --workers out\."):
        refuse_unsharded("cuda", 2)
    refuse_unsharded("cuda", None)
    refuse_unsharded("cuda", 1)
    monkeypatch.setattr(Here, "is_here", False)
    with pytest.raises(FaithfulError, match="GPUs of this machine; leave --executor ray out"):
        refuse_unsharded("cuda", None)
