"""Which latents reappear: known answers for counts and shares, and what the study leaves of them."""

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.store.saes import find_saes
from studies.seeds.config import SeedsConfig
from studies.seeds.pairs import Pair
from studies.seeds.stability import EDGES, Latents, reappearances, stability
from studies.seeds.study import study_seeds
from studies.seeds.tables import seeds_tables


def test_latents_reappear_in_as_many_seeds_as_they_are_shared_in(run: Path) -> None:
    """Three SAEs: latent 0 of the first is shared with both, 1 with one, the others with none."""
    saes = find_saes([run / "saes" / "own"])
    columns = np.roll(np.arange(96), 1).astype(np.int32)
    cosines = np.zeros((3, 96))
    cosines[0, [0, 1]] = cosines[1, 0] = 0.9
    pairs = [Pair(a, b, {}, columns, cosines[at], {}) for at, (a, b) in enumerate(combinations(saes, 2))]
    found = reappearances(pairs)
    first, others = found[saes[0]]
    assert others == 2 and first[:3].tolist() == [1, 0.5, 0] and not first[3:].any()
    assert np.flatnonzero(found[saes[1]][0]).tolist() == [0, 95]
    density = np.where(np.arange(96) < 2, 0.2, 0.002)
    latents = Latents(saes[0], first, others, density, density)
    figures = latents.figures()
    assert figures["stable_share"] == pytest.approx(1 / 96) and figures["never_share"] == pytest.approx(94 / 96)
    assert figures["stable_explained"] == figures["stable_firing"] == pytest.approx(0.2 / (0.4 + 94 * 0.002))
    assert figures["stable_chance"] == pytest.approx((1.5 / 96) ** 2)
    assert latents.by_density() == [(3e-3, 0.0, 94), (1.0, 0.75, 2)]


def test_saes_that_share_nothing_or_everything(run: Path) -> None:
    saes = find_saes([run / "saes" / "own"])
    for cosine in (0.0, 1.0):
        same = [
            Pair(a, b, {}, np.arange(96, dtype=np.int32), np.full(96, cosine), {}) for a, b in combinations(saes, 2)
        ]
        latents = [Latents(sae, *found) for sae, found in reappearances(same).items()]
        summary = stability(latents, {sae: at for at, sae in enumerate(saes)})
        assert [summary[name]["value"] for name in ("stable_share", "stable_chance")] == [cosine] * 2
        assert summary["never_share"]["range"] == [1 - cosine] * 2 and "reappearance" not in summary


def test_the_study_says_which_latents_reappear(studied: tuple[Path, dict[str, Any]]) -> None:
    out, summary = studied
    table = pl.read_parquet(out / "results.parquet")
    for name, found in summary["stability"].items():
        curve = found["reappearance"]
        assert {one["density"] for one in curve} <= set(EDGES)
        assert sum(one["latents"] for one in curve) == pytest.approx(96)
        mean = sum(one["latents"] * one["value"] for one in curve) / 96
        assert mean == pytest.approx(summary["corpora"][name]["shared_feature_ratio"]["value"])
        assert found["start_decoder"]["ci95"] and found["stable_share"]["ci95"] is None
        rows = table.filter((pl.col("metric") == "stable_explained") & (pl.col("corpus") == name))
        known = [value for value in rows["value"] if value is not None]
        assert found["stable_explained"]["value"] == pytest.approx(np.mean(known))
    titles = [one.title for one in seeds_tables(summary)]
    assert any(title.startswith("Stable latents") for title in titles)
    assert any(title.startswith("How probably a latent reappears") for title in titles)


def test_a_study_from_before_latents_were_looked_at_reads_the_text_once_more(
    studied: tuple[Path, dict[str, Any]], run: Path, tmp_path: Path
) -> None:
    """Pairs are kept; what was not there is made, to the same figures."""
    for kept in ("pairs", "floors"):
        shutil.copytree(studied[0] / kept, tmp_path / kept)
    again = study_seeds(SeedsConfig((run / "saes",), tmp_path, tokens=1500, device="cpu", examples=0))
    assert again.reused == 12 and again.summary["stability"] == studied[1]["stability"]
