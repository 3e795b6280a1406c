"""The picture on the card."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from generation.cards.figures import COLOUR, FLAWED, FLAWED_COLOUR, pit_figure
from generation.certificate.evidence import PIT_EDGES


@pytest.mark.parametrize("total", [0, 10_000])
def test_a_histogram_is_drawn_whatever_was_scored_and_the_same_twice(tmp_path: Path, total: int) -> None:
    counts = np.round(total * np.diff(PIT_EDGES)).astype(int)
    certificate = {
        "pit_edges": PIT_EDGES.tolist(), "pit_counts": counts.tolist(), "verdict": "close", "tokens_scored": total,
    }  # fmt: skip
    for name in ("a.png", "b.png"):
        pit_figure(certificate, tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert one.startswith(b"\x89PNG") and one == two
    pit_figure(certificate | {"pit_counts": [1, *[0] * (len(counts) - 1)]}, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes() != one


def test_a_flawed_corpus_stands_beside_it(tmp_path: Path) -> None:
    counts = np.round(10_000 * np.diff(PIT_EDGES)).astype(int)
    certificate = {
        "pit_edges": PIT_EDGES.tolist(), "pit_counts": counts.tolist(), "verdict": "close", "tokens_scored": 10_000,
    }  # fmt: skip
    pit_figure(certificate, tmp_path / "a.png")
    picture = imread(tmp_path / "a.png")[..., :3]
    for colour, side in ((COLOUR, 0), (FLAWED_COLOUR, 1)):
        found = np.abs(picture - to_rgb(colour)).max(2) < 0.01
        shares = [half.mean() for half in np.array_split(found, 2, axis=1)]
        assert shares[side] > 0.1 and shares[1 - side] < 0.01


def test_the_flawed_example_is_cut_as_certificates_are_and_tilted() -> None:
    flawed = json.loads((resources.files("data_cards") / FLAWED).read_text(encoding="utf-8"))
    assert flawed["pit_edges"] == PIT_EDGES.tolist()
    density = np.array(flawed["pit_counts"]) / np.diff(PIT_EDGES) / flawed["tokens_scored"]
    assert density[0] > 1.5 and density[-1] < 0.5 and flawed["temperature"] < flawed["declared"]
