"""Memory: how much there is to use, and giving back what is free inside the process."""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any


def available_memory() -> int:
    """Bytes of RAM that can be used without swapping (all of it where the system does not say)."""
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
