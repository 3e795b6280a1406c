"""Cells that nothing was trained for, and evaluations that show a training."""

from pathlib import Path

import torch

from faithful.training.cell import Cell
from faithful.training.evaluate import Evaluation


def cells(out: Path, corpus: str, shapes: dict[int, int]) -> list[Cell]:
    """Cells that nothing was trained for: `shapes` gives the seeds of each width."""
    return [
        Cell(
            out / corpus / f"f{d_sae}-k2" / f"seed-{seed}",
            {"corpus": corpus, "d_sae": d_sae, "k": 2, "init_seed": seed},
        )
        for d_sae, seeds in shapes.items()
        for seed in range(seeds)
    ]


def evaluation(hook_module: str = "h.1", weights_sha256: str = "a", **figures: float) -> Evaluation:
    """One that shows a training, but for what is given."""
    return Evaluation({"l0": 1.0, "l2_ratio": 1.0} | figures, torch.zeros(8), hook_module, weights_sha256)
