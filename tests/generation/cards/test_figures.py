"""The picture on the card."""

from pathlib import Path

import numpy as np
import pytest

from generation.cards.figures import pit_figure
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
