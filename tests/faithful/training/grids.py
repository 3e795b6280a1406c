"""A small grid as it is asked for, and what comes of it."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from faithful.training.config import TrainConfig

TOKENS = 6000


def configured(made: dict[str, Path], out: Path, **values: Any) -> TrainConfig:
    defaults: dict[str, Any] = {
        "corpora": (made["own"],), "out": out, "seeds": (0, 1), "layer": 1, "d_sae": (96,), "k": (4,), "lr": 3e-3,
        "tokens": TOKENS, "context": 32, "batch": 256, "device": "cpu", "eval_tokens": 1000,
    }  # fmt: skip
    return TrainConfig(**defaults | values)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")
