"""The documentation names what is there: every room on its floor, no file that is not there, every page from the README."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.documented import patterns, undocumented

ROOT = Path(__file__).parent.parent
PACKAGES = ("faithful", "generation", "studies")
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = {
    "studies/crowding",
    "generation/files/markdown.py",
    "faithful/sae/variants/thrifty.py",
    "generation/sampling/plain_engine.py",
    "data_cards/sources/NAME.md",
}
SECTIONS = (
    "Data terms", "Certificate", "Corpus", "Training", "Study seeds", "Study fakes", "Study probes", "Study reconstruction",
    "Study synthetic", "Study absorption", "Study sparsity", "Study unlearning", "Study interventions", "Study variants",
    "Controls of SAEs", "Evaluations outside", "Statistics", "Forecasts",
)  # fmt: skip


def says(init: Path) -> str:
    """The first line of a room's docstring."""
    said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
    return (said or "").splitlines()[0]


def floors() -> list[str]:
    """The table of rooms, from the highest floor to the lowest, rooms inside rooms after them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = contracts[0]["layers"]
    rows = []
    for floor, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for name in layer.split("|"):
            place = ROOT / name.strip().replace(".", "/")
            inits = sorted(place.rglob("__init__.py")) if place.is_dir() else [place.with_suffix(".py")]
            for init in inits:
                room = init.parent if init.name == "__init__.py" else init
                rows.append(f"| {floor} | `{room.relative_to(ROOT)}` | {says(init)} |")
    return rows


def test_every_room_stands_on_its_floor() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert table == floors(), "put this into docs/architecture.md:\n" + "\n".join(floors())


def test_no_page_names_a_file_that_is_not_there() -> None:
    """Those that a worked example of CONTRIBUTING.md adds aside."""
    folders = "faithful|generation|studies|tests|benchmarks|docs|data_cards"
    named = {page.name: set(re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text("utf-8"))) for page in PAGES}
    assert named["architecture.md"] and named["CONTRIBUTING.md"] > EXAMPLES
    gone = {page: [name for name in names - EXAMPLES if not (ROOT / name).exists()] for page, names in named.items()}
    assert {page: names for page, names in gone.items() if names} == {}


def test_the_readme_and_each_other_lead_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"({page.relative_to(ROOT)})" not in readme] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_docstrings_name_sections_that_are_there(section: str) -> None:
    assert patterns(section) or section in ("Data terms", "Controls of SAEs", "Forecasts")


def test_every_section_that_code_names_is_one_of_these() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = {
        section
        for path in sources
        for section in re.findall(r'docs/metrics\.md, "([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert named and named <= set(SECTIONS)


def test_a_figure_without_a_line_is_found() -> None:
    assert undocumented("Study seeds", ["pw_mcc", "floor_random_pw_mcc", "Pw_mcc", "pw_mcc_"]) == ["Pw_mcc", "pw_mcc_"]
    assert undocumented("Study fakes", ["fake_code_above_q0.5", "fake_contrast_flipped"]) == ["fake_contrast_flipped"]
