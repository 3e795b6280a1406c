"""How far rounding alone takes two computations of one log-probability apart."""

from typing import Any

import torch

EXACT, ROUNDED = 1e-3, 0.25
ROUNDING_CAP = {"float32": EXACT, "float16": ROUNDED, "bfloat16": ROUNDED}


def rounding_cap(model: Any) -> float:
    """Largest difference in nats that rounding can make, by the types that are really used.

    Weights kept in 16 or fewer bits round whatever type was asked for, and so do quantised ones (MXFP4, compressed tensors
    in fp8), whose layers compute in 16 bits or fewer.
    """
    exact = all(weight.dtype == torch.float32 for weight in model.parameters())
    quantised = getattr(model.config, "quantization_config", None) is not None
    return EXACT if exact and not quantised else ROUNDED
