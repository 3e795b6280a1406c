"""Memory that can be used, where the system says and where it does not."""

import os
from pathlib import Path

import pytest

from faithful.base.memory import available_memory, trim_memory


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


def test_giving_memory_back_harms_nothing() -> None:
    held = bytearray(range(256)) * 1000
    trim_memory()
    assert held == bytearray(range(256)) * 1000
