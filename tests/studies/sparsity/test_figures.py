"""The figures of sparsity: c_dec against k only where the grid has several."""

from pathlib import Path
from typing import Any

from studies.sparsity.figures import draw


def test_k_is_drawn_where_there_are_several(tmp_path: Path) -> None:
    summary: Any = {"histograms": {"own": [1.0, 2.0]}, "edges": [-2.0, -1.0, 0.0], "axes": []}
    draw(summary, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["densities.svg"]
    figures = {"c_dec": {str(k): {"own": {"value": 0.1 / k}} for k in (4, 8)}}
    axis: Any = {"ks": [4, 8], "best": {"own": {"k": 8, "at_edge": True}}, "figures": figures}
    draw({**summary, "axes": [axis]}, tmp_path)
    assert ">c_dec<" in (tmp_path / "k.svg").read_text(encoding="utf-8")
