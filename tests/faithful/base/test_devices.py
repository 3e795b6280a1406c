"""Devices: known, and here."""

import pytest
import torch

from faithful.base.devices import check_device, known_device
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
