"""Memory that can be used, where the system says and where it does not."""

import os
from pathlib import Path

import pytest

from faithful.base.memory import available_memory, free_memory, trim_memory


@pytest.mark.parametrize("content", ["MemTotal: 9 kB\nMemAvailable:    7 kB\n", None, "MemTotal: 9 kB\n", "nonsense"])
def test_what_the_system_says_else_all_of_it(monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    def read(self: Path, **_: str) -> str:
        assert str(self) == "/proc/meminfo"
        if content is None:
            raise FileNotFoundError
        return content

    monkeypatch.setattr(Path, "read_text", read)
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    says = content is not None and "MemAvailable" in content
    assert available_memory() == (7 * 1024 if says else everything)


def test_a_gpu_can_give_what_torch_keeps_for_itself_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bytes_ in {"memory_reserved": 50, "memory_allocated": 30}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda bytes_=bytes_: bytes_)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (100, 1000))
    assert free_memory("cuda") == 120
    monkeypatch.setattr("faithful.base.memory.available_memory", lambda: 7)
    assert free_memory("cpu") == 7


def test_giving_memory_back_harms_nothing() -> None:
    held = bytearray(range(256)) * 1000
    trim_memory()
    assert held == bytearray(range(256)) * 1000
