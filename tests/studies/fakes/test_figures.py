"""The figures of the fakes study."""

from pathlib import Path
from typing import Any

import numpy as np

from studies.fakes import figures as fakes_figures
from studies.report.svg import inline_svg


def test_the_scatter_does_not_grow_with_the_number_of_latents(tmp_path: Path) -> None:
    """A dot of its own for every latent would make 13 MB of five SAEs at the paper's width."""
    rng = np.random.default_rng(0)
    points = {"own": {"0.01": {"value": 0.1}, "0.1": {"value": 0.0}}}
    sweeps: dict[str, Any] = {"sweep_contrast": points, "sweep_density": points, "sweep_tau": {"own": {}}}
    cells: Any = {"own": {"densities": (10 ** -(6 * rng.random((20_000, 2)))).tolist()}}
    foreign = {"foreign": {"own": {}}, "woken": {"own": {}}, "sweep_foreign": {}, "contrasts": []}
    summary: Any = {"corpora": {"own": {}}, "sweeps": sweeps, "foreign": foreign}
    fakes_figures.draw(summary, cells, tmp_path)
    assert (tmp_path / "contrast.svg").stat().st_size < 400_000
    inline = inline_svg(tmp_path / "contrast.svg", "f1-", "scatter")
    assert "data:image/png;base64," in inline and inline.count("<use") < 200
    assert not (tmp_path / "foreign.svg").exists(), "one corpus alone has no other's text"


def test_shares_of_each_corpus_stand_beside_each_text(tmp_path: Path) -> None:
    point = {"value": 0.02, "ci95": [0.01, 0.04]}
    found: Any = {
        "foreign": {"own": {"web": point}, "web": {"own": point}},
        "woken": {"own": {"random tokens": point, "web": point}, "web": {"random tokens": point, "own": point}},
        "sweep_foreign": {"own": {"0.01": point, "0.1": point}, "web": {"0.01": {"value": None, "ci95": None}}},
    }
    fakes_figures._foreign(found, {"own": "#111111", "web": "#eeeeee"}, tmp_path / "foreign.svg")
    drawn = (tmp_path / "foreign.svg").read_text()
    for words in ("random tokens", "foreign to", "woken by", "over p"):
        assert words in drawn
