"""Rotary scaling of GGUF files: read where it is Llama 3's, refused where transformers would leave it out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from tests.gguf_files import write_gguf

Folder = Callable[[str], Path]


def test_rotary_factors_of_llama_3_are_read(
    family_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rope_freqs.weight` as llama.cpp's converter writes it for factor 32, computed as it computes it."""
    monkeypatch.setenv("FAITHFUL_MODELS", str(tmp_path / "models"))
    frequencies = 500_000.0 ** (-np.arange(0, 32, 2) / 32)
    lengths = 2 * np.pi / frequencies
    smooth = (8192 / lengths - 1) / (4 - 1)
    factors = np.where(lengths < 8192 / 4, 1, np.where(lengths > 8192, 32, 1 / ((1 - smooth) / 32 + smooth)))
    path = write_gguf(
        family_folder("llama"), tmp_path / "Boat.gguf", more={"rope_freqs.weight": factors.astype(np.float32)}
    )
    model = load_model(resolve_model(str(path)), "cpu")
    assert model.config.rope_parameters["factor"] == 32
    np.testing.assert_allclose(model.model.rotary_emb.inv_freq.numpy(), frequencies / factors, rtol=1e-5)
