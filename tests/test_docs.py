"""What the docs point to is there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from typer.core import TyperGroup

from faithful.cli import app
from tests import browser
from tests.faithful.cli.called import call

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


def _commands_on_scale() -> list[str]:
    """The `faithful` lines of docs/scale.md, in blocks and in sentences; variables of a shell are 0."""
    found = []
    for code in re.findall(r"```.*?```|`[^`]+`", (TOP / "docs" / "scale.md").read_text(encoding="utf-8"), re.DOTALL):
        text = re.sub(r"\$\w+", "0", code if code.startswith("```") else " ".join(code.split()))
        found += re.findall(r"(?<![\w./@-])faithful [a-z][^'`#&\n]*", text)
    return sorted({line.strip() for line in found})


@pytest.mark.parametrize("line", _commands_on_scale())
def test_every_command_of_the_page_on_scale_parses(line: str) -> None:
    words, found = shlex.split(line)[1:], typer.main.get_command(app)
    while isinstance(found, TyperGroup):
        found = found.get_command(found.context_class(found), words.pop(0))
    found.make_context("faithful", words)


@pytest.mark.parametrize(
    "line", [line for line in _commands_on_scale() if re.match(r"faithful (generate|run) .*--dry-run", line)]
)
def test_a_dry_run_of_the_page_on_scale_runs(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*shlex.split(line.replace("--assume GPU", "--assume h100"))[1:])
    assert result.exit_code == 0, result.stderr
    assert re.search(r"Dry run.*: nothing was written", result.stdout)
    assert not list(tmp_path.iterdir())


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


def test_every_page_of_the_docs_is_in_the_contents_of_the_site() -> None:
    contents = re.findall(r"(?m)^ +- ([\w-]+\.md)$", (TOP / "mkdocs.yml").read_text(encoding="utf-8"))
    made_when_it_is_built = {"index.md", "contributing.md", "changelog.md", "commands.md", "python.md"}
    assert sorted(contents) == sorted({page.name for page in PAGES[2:]} | made_when_it_is_built)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built. MkDocs is strict: a page outside the contents, a link or an anchor that leads nowhere ends it."""
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=TOP, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_site_has_every_page(site: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in site.glob("*.html")}
    assert {page.stem for page in PAGES[2:]} <= {Path(name).stem for name in pages}
    assert "faithful corpus certify" in pages["commands.html"] and "Raises" in pages["python.html"]
    for name, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=.?(https?:[^ >]+)", text)
        loaded += [link for link in re.findall(r"<link[^>]*>", text) if "http" in link and "stylesheet" in link]
        assert not loaded, f"{name} loads {loaded}"


@pytest.mark.slow
@pytest.mark.skipif(browser.BROWSER is None, reason="there is no browser here")
@pytest.mark.parametrize("name", ["index.html", "quickstart.html"])
def test_a_page_of_the_site_opens_from_the_disk_and_asks_nobody_for_anything(site: Path, name: str) -> None:
    asked = "performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('file:'))"
    shown = browser.opened(site / name, then=f"document.documentElement.dataset.asked = {asked}.join(' ')")
    assert re.findall(r'data-asked="([^"]*)"', shown) == [""]
