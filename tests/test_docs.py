"""What the docs point to is there."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def _heads(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links {link}"
        assert not anchor or anchor in _heads(target), f"{page.name} links {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, open_pages = set(), [TOP / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in found or page.suffix != ".md" or not page.exists():
            continue
        found.add(page)
        open_pages += [
            (page.parent / unquote(link).partition("#")[0]).resolve() for link in LINK.findall(page.read_text())
        ]
    assert set(PAGES) <= found
