"""Random SAEs, tasks as files, configurations."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.sae.topk import TopKSAE
from studies.probes.embedded_tasks import EmbeddedText
from studies.probes.task_data import Draw

RNG = np.random.default_rng


def random_sae(d_in: int, d_sae: int, k: int, seed: int) -> TopKSAE:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, 0.1 * torch.randn(d_in, generator=generator), k)


DRAW = Draw(40, 20, 0, 4)


def no_text() -> EmbeddedText:
    """For tasks that are not made of embedded text."""
    return EmbeddedText(lambda: pytest.fail("the tokenizer is not needed"), None, 32)  # type: ignore[arg-type]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
