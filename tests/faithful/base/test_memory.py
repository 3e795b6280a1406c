"""Memory that can be used, where the system says and where it does not."""

import os
from pathlib import Path

import pytest

from faithful.base.memory import available_memory, free_memory, trim_memory


def system_of(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """A system that says what is in these files."""

    def read(self: Path, **_: str) -> str:
        if str(self) not in files:
            raise FileNotFoundError
        return files[str(self)]

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize("content", ["MemTotal: 9 kB\nMemAvailable:    7 kB\n", None, "MemTotal: 9 kB\n", "nonsense"])
def test_what_the_system_says_else_all_of_it(monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    system_of(monkeypatch, {} if content is None else {"/proc/meminfo": content})
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    says = content is not None and "MemAvailable" in content
    assert available_memory() == (7 * 1024 if says else everything)


STAT = "anon 600\nfile 90\nactive_file 20\ninactive_file 70\nshmem 0\n"
OLD_STAT = "inactive_file 1\nactive_file 1\ntotal_active_file 20\ntotal_inactive_file 70\n"


def second(place: str, most: str, now: str = "700\n", stat: str = STAT) -> dict[str, str]:
    """A control group of the second version."""
    folder = f"/sys/fs/cgroup{place}"
    return {f"{folder}/memory.max": most, f"{folder}/memory.current": now, f"{folder}/memory.stat": stat}


def first(place: str, most: str, now: str = "700\n", stat: str = OLD_STAT) -> dict[str, str]:
    """One of the first version."""
    folder = f"/sys/fs/cgroup/memory{place}"
    limit, used = f"{folder}/memory.limit_in_bytes", f"{folder}/memory.usage_in_bytes"
    return {limit: most, used: now, f"{folder}/memory.stat": stat}


@pytest.mark.parametrize(
    ("own", "groups", "left"),
    [
        ("0::/\n", second("", "1000\n"), 390),  # a container: its group is the root that it sees
        ("0::/slurm/job_1/step\n", second("/slurm/job_1", "1000\n") | second("/slurm/job_1/step", "max\n"), 390),
        ("0::/a/b\n", second("/a", "800\n") | second("/a/b", "1000\n"), 190),
        ("0::/\n", second("", "600\n"), 0),
        ("0::/\n", second("", "max\n"), 7 * 1024),
        ("0::/\n", second("", "1000\n", stat="nonsense\n"), 7 * 1024),
        ("0::/\n", {}, 7 * 1024),
        ("nonsense\n", second("", "1000\n"), 7 * 1024),
        ("5:cpu,cpuacct:/x\n4:memory:/docker/1f\n0::/x\n", first("", "1000\n"), 390),
        ("4:memory:/slurm/job_1\n", first("", "9223372036854771712\n") | first("/slurm/job_1", "1000\n"), 390),
        ("5:cpu:/\n", first("", "1000\n"), 7 * 1024),
    ],
)
def test_a_container_or_a_job_has_what_its_limits_leave(
    monkeypatch: pytest.MonkeyPatch, own: str, groups: dict[str, str], left: int
) -> None:
    system_of(monkeypatch, {"/proc/meminfo": "MemAvailable:    7 kB\n", "/proc/self/cgroup": own} | groups)
    assert available_memory() == left


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
