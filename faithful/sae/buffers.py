"""Memory of a stack: tensors of many cells at aligned places, scratch that is allocated once, and how work is cut."""

import math

import torch
from torch import Tensor

ALIGNMENT = 16
SCORES = 2**25
PIECE = 2**19


def stacked(cells: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Zeros [cells, *shape], float32, where every cell begins at a cache line.

    Dense products may round otherwise at other alignments, and a cell must not depend on its place in the stack.
    """
    size = math.prod(shape)
    apart = -(-size // ALIGNMENT) * ALIGNMENT
    return torch.zeros(cells, apart, device=device)[:, :size].unflatten(1, shape)


class Scratch:
    """Tensors by name that keep their memory: fresh memory of this size costs as much as the work done in it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._flat: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """An uninitialised contiguous tensor; the last one of this name is gone."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or flat.numel() < size or flat.dtype != dtype:
            self._flat.pop(name, None)
            flat = self._flat[name] = torch.empty(size, dtype=dtype, device=self.device)
        return flat[:size].view(shape)


def chunks(total: int, size: int, device: torch.device) -> list[slice]:
    """Slices of at most `size` that cover `total`; a single one on a GPU, which wants much work at a time.

    `SCORES` and `PIECE` entries are good sizes on a CPU: the first bounds memory, the second stays in its cache.
    """
    step = max(1, size) if device.type == "cpu" else max(1, total)
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]
