"""The report in a browser, on a phone and on paper."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests import browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.BROWSER is None, reason="there is no browser here")]
LOOK = """
STEP
const box = (one) => document.querySelector(one).getBoundingClientRect().toJSON();
document.querySelectorAll('details').forEach(one => one.open = OPEN);
const wide = [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1
  && !one.closest('.scroll, nav') && !one.closest('pre') && !one.closest('svg'));
const folded = [...document.querySelectorAll('details > :not(summary)')].filter(one => !one.getClientRects().length
  || !one.checkVisibility({contentVisibilityAuto: true}));
parent.postMessage(JSON.stringify({
  wrong, window: innerWidth, page: document.documentElement.scrollWidth, wide: wide.map(one => one.outerHTML.slice(0, 80)),
  folds: document.querySelectorAll('details').length, folded: folded.map(one => one.outerHTML.slice(0, 80)),
  small: [...document.querySelectorAll('p, td, li')].filter(one => parseFloat(getComputedStyle(one).fontSize) < 9).length,
  contents: getComputedStyle(document.querySelector('nav')).display, nav: box('nav'), last: box('#again h2'),
  figure: box('figure'), drawn: box('figure svg').width,
  position: getComputedStyle(document.querySelector('figure')).position,
}), '*');
"""
PHONE, DESK = 390, 1200
FRAME = (
    '<!doctype html><html><head></head><body><iframe src="report.html" style="width:{}px;height:844px;border:0"></iframe>'
    "<script>onmessage = (event) => {{ document.documentElement.dataset.seen = event.data }}</script></body></html>"
)


def seen(html: str, folder: Path, width: int, *, unfold: bool, step: str = "") -> dict[str, Any]:
    """What a reader of the report sees in a frame of so many pixels, after a step: a window has 500 at least."""
    allowed = html.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    script = f"<script>setTimeout(() => {{{LOOK.replace('OPEN', str(unfold).lower()).replace('STEP', step)}}}, 1000)</script>"
    page = folder / "page" / "index.html"
    page.parent.mkdir(parents=True)
    (page.parent / "report.html").write_text(
        allowed.replace("<head>", f"<head>{browser.SPY}").replace("</body>", f"{script}</body>")
    )
    page.write_text(FRAME.format(width))
    (found,) = re.findall(r'data-seen="([^"]*)"', browser.opened(page))
    look: dict[str, Any] = json.loads(unescape(found))
    assert [one for one in look["wrong"] if one] == [], (
        "but for pictures of its own that are none: they have no message"
    )
    return look


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_leaves_the_window(width: int, html: str, tmp_path: Path) -> None:
    look = seen(html, tmp_path, width, unfold=True)
    assert look["window"] == width and look["folds"] > 3
    assert look["wide"] == [] and look["page"] <= width
    assert look["folded"] == [] and look["small"] == 0


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_contents_follow_and_hide_no_heading(width: int, html: str, tmp_path: Path) -> None:
    look = seen(html, tmp_path, width, unfold=True, step="location.hash = '#again';")
    assert look["nav"]["top"] == 0 and 20 < look["nav"]["bottom"] < look["last"]["top"] < 200


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_click_enlarges_a_figure_and_another_puts_it_back(width: int, html: str, tmp_path: Path) -> None:
    click = "document.querySelector('figure svg path').dispatchEvent(new MouseEvent('click', {bubbles: true}));"
    before = seen(html, tmp_path / "0", width, unfold=False)
    large = seen(html, tmp_path / "1", width, unfold=False, step=click)
    assert (large["figure"]["x"], large["figure"]["y"], large["figure"]["width"]) == (0, 0, width)
    assert large["drawn"] > 1.2 * before["drawn"] and large["page"] <= width
    assert seen(html, tmp_path / "2", width, unfold=False, step=2 * click)["figure"] == before["figure"]


def test_on_paper_every_fold_is_open(html: str, tmp_path: Path) -> None:
    assert seen(html, tmp_path / "screen", DESK, unfold=False)["folded"] != []
    look = seen(html.replace("@media print", "@media screen"), tmp_path / "paper", 760, unfold=False)
    assert look["folded"] == [] and look["contents"] == "none"


def test_on_paper_no_figure_is_enlarged(html: str, tmp_path: Path) -> None:
    paper = html.replace("@media screen", "@media none").replace("@media print", "@media screen")
    step = "document.querySelector('figure input').checked = true;"
    assert seen(paper, tmp_path, 760, unfold=False, step=step)["position"] == "static"
