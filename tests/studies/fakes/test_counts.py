"""Counts of fake latents: every text read once for all SAEs, kept, and equal to what one SAE alone gives."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.progress import silent
from studies.common import codes
from studies.common.config import StudyConfig
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import load_panel, noise_rows
from studies.fakes.counts import CONTROLS, TEXT, FakeCounts, _reads


def counts(found: StudyInput, folder: Path, seed: int = 0) -> FakeCounts:
    return FakeCounts(found, load_panel(found, 600), noise_rows(found.spec, 20, found.context, 0), seed, folder)


def inputs(run: Path, *places: str) -> StudyInput:
    saes: Any = tuple(run / "saes" / place for place in places)
    return resolve_input(StudyConfig(saes=saes, out=run, corpora=(run,), device="cpu"))


def test_an_sae_counts_the_same_alone_and_among_others(run: Path, tmp_path: Path) -> None:
    together, alone = inputs(run, "own", "cool"), inputs(run, "cool")
    all_of_them = counts(together, tmp_path / "all").cells(1, silent)
    assert len(all_of_them) == len(together.saes) == 6
    of_cool = counts(alone, tmp_path / "one").cells(1, silent)
    assert len(of_cool) == 3
    assert of_cool == {name: cell for name, cell in all_of_them.items() if name in of_cool}
    for cell in of_cool.values():
        assert set(cell["parts"]) == {"own", "cool"}
        assert 0 <= cell["figures"]["fake_contrast"] <= cell["figures"]["fake_contrast_of_bound"] <= 1


def test_what_is_counted_is_not_read_again_but_with_another_seed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inputs(run, "own/resid_pre.1-f96-k4/seed-0")
    first = counts(found, tmp_path)
    kept = first.cells(1, silent)
    assert first.reused == 0
    read = codes.kept_activations
    monkeypatch.setattr(codes, "kept_activations", lambda *_: pytest.fail("read again"))
    again = counts(found, tmp_path)
    assert again.cells(1, silent) == kept and again.reused == 1
    monkeypatch.setattr(codes, "kept_activations", read)
    (cell,), (other,) = kept.values(), counts(found, tmp_path, seed=1).cells(1, silent).values()
    assert cell["figures"]["fake_contrast"] == other["figures"]["fake_contrast"], (
        "the seed is of controls and resamples"
    )
    assert cell["resampled"]["fake_contrast"] != other["resampled"]["fake_contrast"]


def test_a_text_that_several_controls_stand_beside_is_read_once() -> None:
    assert _reads(TEXT) == [TEXT] and _reads("shuffled") == ["shuffled text"]
    assert _reads("permuted_model") == list(CONTROLS["permuted_model"])
