"""Figures inside the page."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from studies.report.svg import inline_svg
from tests.studies.report.runs_made import (
    SVG,
)


def test_svg_keeps_what_draws_and_drops_what_runs(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(SVG)
    one = inline_svg(tmp_path / "a.svg", "f1-", 'a "title"')
    assert 'id="f1-m"' in one and 'href="#f1-m"' in one and "url(#f1-c)" in one and "a &lt; b" in one
    assert "data:image/png;base64,AAAA" in one and 'aria-label="a &quot;title&quot;"' in one
    for gone in ("script", "onload", "onclick", "example.org", "<style", "xmlns", 'width="90pt"'):
        assert gone not in one
    (tmp_path / "b.svg").write_text("<svg><g></svg>")
    with pytest.raises(FaithfulError, match="run the study again"):
        inline_svg(tmp_path / "b.svg", "", "")
    (tmp_path / "c.svg").write_text("<html/>")
    with pytest.raises(FaithfulError, match="no SVG"):
        inline_svg(tmp_path / "c.svg", "", "")


@pytest.mark.parametrize(
    "box", ["0 0 nan 9", "0 0 inf 9", "0 0 x 9", "0 0 1e300 9", "0 0 -5 9", "0 0 0 9", "0 0 9", "0 0 9 9 9", "1e999"]
)
def test_figures_of_no_size_are_a_sentence(tmp_path: Path, box: str) -> None:
    (tmp_path / "a.svg").write_text(f'<svg viewBox="{box}"><g/></svg>')
    with pytest.raises(FaithfulError, match="states no size") as caught:
        inline_svg(tmp_path / "a.svg", "", "")
    assert "\n" not in str(caught.value)


def test_figures_with_commas_without_a_box_or_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text('<svg viewBox="0,0, 90,45"/>')
    assert "width:120px" in inline_svg(tmp_path / "a.svg", "", "")
    (tmp_path / "b.svg").write_text("<svg/>")
    assert "width" not in inline_svg(tmp_path / "b.svg", "", "")
    (tmp_path / "c.svg").write_text("<svg>" + "<g>" * 3000 + "</g>" * 3000 + "</svg>")
    with pytest.raises(FaithfulError, match="nested too deeply"):
        inline_svg(tmp_path / "c.svg", "", "")
