"""The pages in a browser, opened from the disk."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from studies.browse.write import Done
from tests import browser
from tests.studies.browse.conftest import read

EVIL = "<img src=x onerror=broken()><script>broken()</script>"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.BROWSER is None, reason="there is no browser here")]


def opened(folder: Path, place: str, then: str = "") -> str:
    """What the page holds after it was opened at a place and a script was run in it."""
    page = folder / "index.html"
    before = page.read_text(encoding="utf-8")
    page.write_text(before.replace("script-src 'self' file:", "script-src 'self' file: 'unsafe-inline'"))
    try:
        return browser.opened(page, place, then)
    finally:
        page.write_text(before)


@pytest.fixture(scope="module")
def folder(pages: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages one of whose tokens would be a script."""
    copy = tmp_path_factory.mktemp("opened") / "pages"
    shutil.copytree(pages.folder, copy)
    text = copy / "data" / "text.js"
    values = json.loads(text.read_text()[len('loaded("text",') : -3])
    values["strings"] = [EVIL] * len(values["strings"])
    text.write_text(f'loaded("text",{json.dumps(values)});\n')
    return copy


def test_the_list_can_be_sorted_and_searched(folder: Path) -> None:
    page = opened(folder, "")
    assert "1–50 of 576 latents" in page and page.count("<tr>") == 51
    assert EVIL not in page and html.escape(EVIL, quote=False) in page
    sorted_page = opened(folder, "", "document.getElementById('sort-best').click()")
    shares = [float(row) for row in re.findall(r"<td>([\d.]+)</td><td class=.words", sorted_page)]
    assert len(shares) == 50 and shares == sorted(shares, reverse=True)
    search = "const q=document.getElementById('query');q.value='17';q.dispatchEvent(new Event('input'))"
    assert "1–6 of 6 latents" in opened(folder, "", search)


def test_a_latent_has_its_contexts_effects_and_partners(folder: Path) -> None:
    fires = next(latent for latent, one in enumerate(read(folder, "0-0")) if len(one["top"]) > 5)
    page = opened(folder, f"#0/{fires}")
    for title in (
        f"cool seed 0, latent {fires}",
        "Where it is strongest",
        "What it adds to the logits",
        "Five fifths of its contexts",
    ):
        assert f">{title}</h" in page
    assert page.count('class="card"') == 4, "two other seeds, and the two of the other corpus that began otherwise"
    assert EVIL not in page and 'role="img"' in page and ">null<" not in page
    clicked = opened(folder, f"#0/{fires}", "document.querySelector('.card a').click()")
    assert re.search(r"<h1>cool seed 1, latent \d+</h1>", clicked)


def test_what_loads_late_or_never_does_not_replace_a_newer_page(folder: Path) -> None:
    late = "const old=load;load=name=>name==='1-0'?new Promise((_,no)=>setTimeout(()=>no(new Error('gone')),500)):old(name);"
    turned = "location.hash='#1/0';setTimeout(()=>{location.hash=''},100)"
    assert "1–50 of 576 latents" in opened(folder, "", late + turned)
    assert '<p class="warn">gone</p>' in opened(folder, "", f"{late}location.hash='#1/0'")


def test_an_explanation_is_shown_and_searched(folder: Path) -> None:
    fires = next(latent for latent, one in enumerate(read(folder, "0-0")) if len(one["top"]) > 5)
    path = folder / "data" / "0.js"
    before = path.read_text()
    detection: list[float | None] = [None] * 96
    detection[fires] = 0.875
    said = {"explanations": {str(fires): f"Names of harbours {EVIL}"}, "detection": detection, "explained": [fires]}
    doubt = "not shown to tell where it fires"
    try:
        path.write_text(f'loaded("0",{json.dumps(read(folder, "0") | said)});\n')
        search = "const q=document.getElementById('query');q.value='HARBOURS';q.dispatchEvent(new Event('input'))"
        assert "1–1 of 1 latents" in opened(folder, "", search)
        page = opened(folder, f"#0/{fires}")
        assert f"Explanation: </strong>Names of harbours {html.escape(EVIL, quote=False)}" in page and ">0.875<" in page
        assert doubt not in page
        assert "Explanation: " not in opened(folder, f"#0/{fires + 1}")
        path.write_text(f'loaded("0",{json.dumps(read(folder, "0") | {"explained": []})});\n')
        assert doubt in opened(folder, f"#0/{fires}")
    finally:
        path.write_text(before)
