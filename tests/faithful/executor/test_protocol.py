"""What a worker has of the machine."""

import pytest

from faithful.executor.protocol import Share


def test_each_worker_on_a_gpu_machine_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [Share("cuda", 1).environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [Share("cuda", 1).environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["4", "6"]
    assert Share("cuda", gpus=2).environment(0)["CUDA_VISIBLE_DEVICES"] == "4,6"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert [Share("cuda", gpus=2).environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["0,1", "2,3"]
    assert Share("cuda", 1, deterministic=True).environment(0)["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_each_worker_on_a_cpu_has_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wanted = {
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    assert Share("cpu", 3).environment(1) == wanted
