"""A key–value cache for rows of different age: one shared time axis, a window that rolls along it.

Every step adds one column for all rows. A row that starts late sees only columns from its own start on (an attention
mask hides the rest: to the model it is left padding), and columns older than the oldest live row fall off. Keys and
values stand in preallocated buffers, so a step copies nothing but its own column.
"""

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RollingLayer(DynamicLayer):
    """Keys and values of one layer: [rows, heads, columns, width] views into buffers of twice the window."""

    is_sliding = False

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.first = 0
        self.end = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate both buffers from the first column's shapes."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.key_buffer, self.value_buffer = (
            s.new_zeros(s.shape[0], s.shape[1], 2 * self.window, s.shape[3]) for s in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append one column and return the live ones."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = key_states.shape[-2]
        if self.end + new > 2 * self.window:
            for buffer in (self.key_buffer, self.value_buffer):
                buffer[:, :, : self.end - self.first] = buffer[:, :, self.first : self.end].clone()
            self.first, self.end = 0, self.end - self.first
        self.key_buffer[:, :, self.end : self.end + new] = key_states
        self.value_buffer[:, :, self.end : self.end + new] = value_states
        self.end += new
        live = slice(self.first, self.end)
        return self.key_buffer[:, :, live], self.value_buffer[:, :, live]

    def get_seq_length(self) -> int:
        """Number of live columns."""
        return self.end - self.first

    def drop(self, columns: int) -> None:
        """Forget the oldest columns."""
        self.first += columns

    def keep_rows(self, rows: Tensor) -> None:
        """Keep the given rows only."""
        if self.is_initialized:
            rows = rows.to(self.key_buffer.device)  # a spread model's layers lie on several GPUs
            self.key_buffer, self.value_buffer = self.key_buffer[rows], self.value_buffer[rows]


class RollingCache(Cache):
    """One `RollingLayer` per decoder layer.

    Args:
        layers: number of decoder layers.
        window: longest row, in tokens.
    """

    def __init__(self, layers: int, window: int) -> None:
        self.rolling = [RollingLayer(window) for _ in range(layers)]
        super().__init__(layers=list(self.rolling))

    def drop(self, columns: int) -> None:
        """Forget the oldest columns in every layer."""
        for layer in self.rolling:
            layer.drop(columns)

    def keep_rows(self, rows: Tensor) -> None:
        """Keep the given rows, int64, in every layer."""
        for layer in self.rolling:
            layer.keep_rows(rows)
