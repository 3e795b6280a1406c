"""Counts of fake latents: every text read once for all SAEs, kept, and equal to what one SAE alone gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.progress import silent
from studies.common import codes
from studies.common.codes import Codes
from studies.common.config import StudyConfig
from studies.common.foreign import RULE
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import load_panel, noise_rows
from studies.fakes.counts import CONTROLS, TEXT, FakeCounts, _figures, _reads, thresholds_of
from studies.fakes.rules import Firing, Resampled, fake_code, fake_contrast, latents_of
from tests.studies.fakes.counted import CONTEXTS, LENGTH, count


def test_a_latent_that_is_silent_on_text_counts_above_its_own_quantiles() -> None:
    """Latent 0 fires on the text with 1, 2 … 9, latent 1 never: above each of its quantiles is whatever it gives on noise."""
    codes_of = Codes(torch.arange(1.0, 10.0)[:, None], torch.zeros(9, 1, dtype=torch.int32), 2)
    own = torch.arange(9) < 4
    found = thresholds_of(codes_of, own, RULE)
    assert found[:-1].tolist() == [[1.0, 1.0], [5.0, 0.0], [8.0, 0.0], [9.0, 0.0]]
    assert found[-1].tolist() == pytest.approx([0.4 * 4, 0.0]), "of the four tokens of its own text"
    assert thresholds_of(codes_of, own & False, RULE)[-1].isinf().all()
    noise = count(np.full((CONTEXTS, LENGTH, 2), 0.5), found.numpy())
    assert [fake_code(noise, place).tolist() for place in range(4)] == [[False, False], *[[False, True]] * 3]


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


def test_what_is_left_of_a_latent_is_what_the_rule_says() -> None:
    """301 of 30,099 tokens are more than 1 %, by less than the sixth digit shows; so are 30 less than .1 %."""
    silent = Resampled(np.zeros((5, 2)), *(np.zeros((2, 1), np.uint8) for _ in range(4)))

    def firing(*fired: int) -> Firing:
        return Firing(30_099, 9, np.array(fired), np.zeros((5, 3), np.int64), np.zeros(3, np.int64), silent)

    noise, text = firing(301, 300, 3000), firing(30, 0, 31)
    cell = _figures(noise, text, {}, {}, None)
    fake = latents_of(cell["densities"])["fake"]
    assert fake.tolist() == fake_contrast(noise, text).tolist() == [True, False, False]
    assert cell["figures"]["fake_contrast"] == fake.mean()


def test_a_text_that_several_controls_stand_beside_is_read_once() -> None:
    assert _reads(TEXT) == [TEXT] and _reads("shuffled") == ["shuffled text"]
    assert _reads("permuted_model") == list(CONTROLS["permuted_model"])
