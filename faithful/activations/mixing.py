"""The mixing buffer: activations of many contexts wait in it, so that a batch holds tokens of unrelated texts."""

from typing import TypedDict

import torch
from torch import Tensor


class BufferState(TypedDict):
    """What waits in a buffer, in its order, on the CPU, and its generator's state."""

    waiting: Tensor
    generator: Tensor


class MixingBuffer:
    """A fixed piece of memory with a random order of its own.

    Slots that were handed out are filled again in place; only their order is shuffled, as indices and once per filling.
    Every activation admitted leaves exactly once.

    Args:
        size: slots.
        d_in: width of an activation.
        dtype, device: of the memory.
        seed: of the order, which is drawn on the CPU by a generator of its own and so is the same on every device.
    """

    def __init__(self, size: int, d_in: int, dtype: torch.dtype, device: torch.device, seed: int) -> None:
        self._memory = torch.empty(size, d_in, dtype=dtype, device=device)
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)
        self._free = torch.arange(size)
        self._at = 0

    @property
    def live(self) -> int:
        """Activations waiting."""
        return len(self._order) - self._at

    def free_slots(self, count: int) -> Tensor:
        """`count` slots to write to, int64 on the CPU; they stay free until they are admitted."""
        self._settle()
        return self._free[:count]

    def write(self, slots: Tensor, activations: Tensor) -> None:
        """Put activations [n, d_in] into slots, int64 [n]."""
        self._memory.index_copy_(0, slots.to(self._memory.device), activations.to(self._memory.dtype))

    def read(self, slots: Tensor) -> Tensor:
        """What was written to slots, [n, d_in] in the buffer's dtype."""
        return self._memory.index_select(0, slots.to(self._memory.device))

    def admit(self, slots: Tensor) -> None:
        """Let written slots wait with the others, all in a new random order."""
        self._settle()
        taken = torch.zeros(len(self._memory), dtype=torch.bool)
        taken[slots] = True
        self._free = self._free[~taken[self._free]]
        waiting = torch.cat([self._order.cpu(), slots])
        self._order = waiting[torch.randperm(len(waiting), generator=self._generator)].to(self._memory.device)

    def take(self, count: int) -> Tensor:
        """The next activations, float32 [min(count, live), d_in]; their slots become free."""
        slots = self._order[self._at : self._at + count]
        self._at += len(slots)
        return self._memory.index_select(0, slots).float()

    def state(self) -> BufferState:
        """Everything that decides what comes next, on the CPU: what waits, in its order, and the generator."""
        return {
            "waiting": self.read(self._order[self._at :]).cpu(),
            "generator": self._generator.get_state(),
        }

    def load_state(self, state: BufferState) -> None:
        """Go on from a state of a buffer of the same size. Slots may differ from before: the order does not see them."""
        slots = torch.arange(len(self._memory))
        count = len(state["waiting"])
        self.write(slots[:count], state["waiting"].to(self._memory.device))
        self._order, self._at = slots[:count].to(self._memory.device), 0
        self._free = slots[count:]
        self._generator.set_state(state["generator"].cpu())

    def _settle(self) -> None:
        """Count what was handed out among the free slots."""
        self._free = torch.cat([self._free, self._order[: self._at].cpu()])
        self._order, self._at = self._order[self._at :], 0
