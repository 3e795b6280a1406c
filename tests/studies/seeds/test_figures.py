"""Figures of the seed study."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from studies.seeds.figures import DASHES, Curve, draw
from studies.seeds.matching import CURVE

LEVEL = [0.5] * len(CURVE)


def text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    ET.fromstring(text)
    return text


def test_curves_have_intervals_where_there_are_any_and_every_floor_once(tmp_path: Path) -> None:
    floors = dict.fromkeys(DASHES, LEVEL)
    curves = {
        "own": Curve(LEVEL, [0.4] * len(CURVE), [0.6] * len(CURVE), floors),
        "web": Curve(LEVEL, None, None, floors),
    }
    counts = {name: np.arange(60) for name in curves}
    draw(curves, counts, {("own", "own"): 0.5}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matched_cosines.svg", "sfr_curves.svg"]
    text = text_of(tmp_path / "sfr_curves.svg")
    assert text.count('id="FillBetweenPolyCollection') == 1
    assert all(text.count(f">{floor.removeprefix('floor_')} floor<") == 1 for floor in DASHES)
    assert all(f">{name}<" in text_of(tmp_path / "matched_cosines.svg") for name in curves)


def test_corpora_are_beside_each_other_where_there_are_several(tmp_path: Path) -> None:
    """Also where nothing is within a corpus: SAEs of one seed each."""
    names = ("own", "web")
    across = {(one, other): 0.25 if one != other else None for one in names for other in names}
    draw({}, {}, across, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["across_corpora.svg"]
    text = text_of(tmp_path / "across_corpora.svg")
    assert text.count(">0.25<") == 2 and ">nan<" not in text
