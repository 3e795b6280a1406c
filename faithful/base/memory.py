"""Memory: how much there is to use, and giving back what is free inside the process."""

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes of RAM that can be used without swapping (all of it where the system does not say), within the limits of its
    control groups: those of a container, or of a job on a cluster.
    """
    return min([_of_the_machine(), *_left_by_groups()])


def _of_the_machine() -> int:
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_by_groups() -> Iterator[int]:
    """What each limit over this process leaves, its own control group's and those above; files in the cache can be given up.

    A container may see its group at the root of what is mounted, whatever its name is outside.
    """
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()]
        places = {controllers: Path(place.lstrip("/")) for _, controllers, place in lines}
    except (OSError, ValueError):
        return
    for controllers, own in places.items():
        if controllers and "memory" not in controllers.split(","):
            continue
        root, limit, used, of_all = (
            (GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            if controllers
            else (GROUPS, "memory.max", "memory.current", "")
        )
        for group in (own, *own.parents):
            folder = root / group
            try:
                stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
                cached = sum(int(stat[f"{of_all}{kind}_file"]) for kind in ("active", "inactive"))
                most, now = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
            except (OSError, KeyError, ValueError):  # no such file, or `max`: no limit
                continue
            yield max(0, most - now + cached)


def free_memory(device: str) -> int:
    """Bytes that a device, `cpu` or `cuda`, can still give: of the GPU in use those that torch keeps for itself too."""
    if device == "cpu":
        return available_memory()
    import torch

    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


def trim_memory() -> None:
    """Return freed heap pages to the system, where the C library can (glibc).

    Tensors of ever other sizes leave holes in the heap that glibc keeps: without this the scoring of 100k tokens with a
    small model grew the process by half a gigabyte.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
