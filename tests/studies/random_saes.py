"""SAEs of random weights on disk, recorded as `faithful train` does it or plain, for tests that need no trained ones."""

from pathlib import Path
from typing import Any

import torch

from faithful.formats.files import save_sae
from faithful.sae.topk import TopKSAE

HOOK = "blocks.1.hook_resid_pre"


def random_sae(d_in: int, d_sae: int, k: int, seed: int) -> TopKSAE:
    """Unit decoder rows, the encoder their transpose."""
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed)), dim=1)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, torch.zeros(d_in), k)


def write_recorded(saes: Path, corpus: str, seed: int, d_in: int, d_sae: int, k: int = 4) -> Path:
    """An SAE at `CORPUS/SHAPE/seed-N` with the record of a training."""
    folder = saes / corpus / f"resid_pre.1-f{d_sae}-k{k}" / f"seed-{seed}"
    identity: dict[str, Any] = {
        "model": "tiny-gpt2", "corpus": corpus, "hook": "resid_pre.1", "init_seed": seed, "d_sae": d_sae, "k": k,
        "context": 32, "layout": "aligned", "dtype": "float32",
    }  # fmt: skip
    metadata = {"model_name": "tiny-gpt2", "hook_name": HOOK, "faithful": {"identity": identity}}
    save_sae(folder, random_sae(d_in, d_sae, k, seed), metadata)
    return folder


def write_plain(folder: Path, d_in: int, d_sae: int, k: int = 4, seed: int = 0, **metadata: Any) -> Path:
    """An SAE from elsewhere: neither seed nor record."""
    stated = {"model_name": "tiny-gpt2", "hook_name": HOOK} | metadata
    save_sae(folder, random_sae(d_in, d_sae, k, seed), stated)
    return folder
