"""Figures of the reconstruction study."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from studies.reconstruction import figures


def figure(value: float | None, ci95: list[float] | None = None) -> dict[str, Any]:
    return {"value": value, "ci95": ci95}


@pytest.mark.parametrize("ks", [("4",), ("4", "2")])
def test_matrices_name_corpora_and_a_ladder_needs_two_k(ks: tuple[str, ...], tmp_path: Path) -> None:
    matrix = {"own": {"own": figure(0.123456), "web": figure(7.0)}, "web": {"own": figure(None), "web": figure(0.25)}}
    ladder = {"own": {k: {m: figure(0.5, [0.4, 0.6]) for m in ("fvu", "ce_recovered")} for k in ks}}
    ladder["web"] = {k: {m: figure(0.5) for m in ("fvu", "ce_recovered")} for k in ks}
    summary: Any = {"matrices": dict.fromkeys(figures.TITLES, matrix), "reduced_k": ladder}
    figures.draw(summary, tmp_path)
    text = (tmp_path / "matrices.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert all(f">{said}<" in text for said in ("own", "web", "0.123", "nan", *figures.TITLES.values()))
    assert (tmp_path / "reduced_k.svg").exists() == (len(ks) > 1)
