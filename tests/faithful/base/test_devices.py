"""Devices: known, and here."""

import pytest
import torch

from faithful.base.devices import check_device, known_device, processors
from faithful.base.errors import FaithfulError


@pytest.mark.parametrize(("has_gpu", "device"), [(False, "cpu"), (True, "cuda")])
def test_the_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, has_gpu: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert known_device(None) == check_device(None) == device
    assert check_device("cpu") == "cpu"


def test_a_gpu_that_is_not_here_is_known_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert known_device("cuda") == "cuda"
    with pytest.raises(FaithfulError, match="no GPU here"):
        check_device("cuda")
    with pytest.raises(FaithfulError, match="'mps' is not a device"):
        known_device("mps")


def test_processors_are_the_vector_instructions_and_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processors("cpu") == [torch.backends.cpu.get_cpu_capability()]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert processors("cuda") == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    assert processors("cuda") == ["GPU 0", "GPU 1"]
