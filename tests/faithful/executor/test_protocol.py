"""What a worker has of the machine."""

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.executor.protocol import Share, share_of


def test_each_worker_on_a_gpu_machine_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [Share("cuda", 1).environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [Share("cuda", 1).environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["4", "6"]
    assert Share("cuda", 1, deterministic=True).environment(0)["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_each_worker_on_a_cpu_has_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wanted = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE"}
    assert Share("cpu", 3).environment(1) == wanted


def test_shares_are_equal_and_gpus_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [share_of("cpu", workers).threads for workers in (1, 3, 20)] == [8, 2, 1]
    assert share_of("cpu", 2, threads=5).threads == 5
    assert share_of("cuda", 2).device == "cuda"
    with pytest.raises(FaithfulError, match="--workers 3 needs as many GPUs, and there are 2"):
        share_of("cuda", 3)
