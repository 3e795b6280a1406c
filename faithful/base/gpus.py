"""GPUs that a forecast can be made for: the one here, or one named with `--assume`."""

import re
from dataclasses import dataclass

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean


@dataclass(frozen=True)
class Gpu:
    """A card, by its maker's data sheet.

    Attributes:
        name: as torch calls it, or a part of that.
        bytes: of memory.
        bandwidth: of memory, bytes per second.
        flops: dense bfloat16 operations per second.
    """

    name: str
    bytes: float
    bandwidth: float
    flops: float


GPUS = {
    "h200": Gpu("H200", 141e9, 4.8e12, 990e12),
    "h100": Gpu("H100", 80e9, 3.35e12, 990e12),
    "a100": Gpu("A100", 80e9, 2.0e12, 312e12),
    "l40s": Gpu("L40S", 48e9, 0.86e12, 362e12),
    "4090": Gpu("4090", 24e9, 1.0e12, 165e12),
    "3090": Gpu("3090", 24e9, 0.94e12, 71e12),
}
UNKNOWN = Gpu("", 0.0, 1e12, 150e12)
"""What a card that is not listed is taken to reach."""


def known_gpu(name: str) -> Gpu:
    """A card by its short name.

    Raises:
        FaithfulError: it is not listed.
    """
    if name.lower() not in GPUS:
        near = did_you_mean(name, GPUS)
        raise FaithfulError(f"'{name}' is no GPU that forecasts know; choose one of {', '.join(GPUS)}.{near}")
    return GPUS[name.lower()]


def gpu_here() -> Gpu | None:
    """The first GPU that torch sees, with the memory that it has; None where it sees none."""
    import torch

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    listed = next((gpu for gpu in GPUS.values() if re.search(rf"(?<!\w){gpu.name}(?!\d)", name)), UNKNOWN)
    return Gpu(name, float(torch.cuda.mem_get_info()[1]), listed.bandwidth, listed.flops)


def forecast_gpu(assume: str | None) -> Gpu:
    """The card a forecast for `cuda` is made for: the one named, else the one here, else an H100."""
    return known_gpu(assume) if assume else gpu_here() or GPUS["h100"]
