"""The picture of both axes: every corpus with its intervals, the own text's noise, names and units that can be read."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from studies.common.drawing import colours
from studies.corpora.figures import _faithfulness, _is_own, sweep_curves

SVG = "{http://www.w3.org/2000/svg}"
USUAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def cell(name: str, gap: float, excess: float, reach: float | None = 0.1, kind: str = "external") -> Any:
    ends = [None if reach is None else [value - reach, value + reach] for value in (gap, excess)]
    return {
        "name": name, "kind": kind, "sampling": USUAL, "as_model": {"surprise_gap": gap, "ci95": ends[0]},
        "figures": {"excess_ce": excess, "excess_ce_ci95": ends[1]},
    }  # fmt: skip


def drawn(cells: list[Any], path: Path) -> ET.Element:
    _faithfulness(cells, colours([one["name"] for one in cells]), path)
    return ET.parse(path).getroot()


def texts(root: ET.Element) -> list[str]:
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def test_one_picture_shows_both_axes_of_every_corpus(tmp_path: Path) -> None:
    cells = [cell("own", -0.02, -0.09, kind="own"), cell("alpaca", 0.14, -1.19), cell("noise", 7.0, 8.6, None)]
    root = drawn(cells, tmp_path / "a.svg")
    said = texts(root)
    assert {"own", "alpaca", "noise", "0", "+0.5", "−1", "+8"} <= set(said)
    assert any(text.startswith("surprise gap, nats/token") for text in said)
    assert any(text.startswith("excess cross-entropy, nats/token") for text in said)
    sizes = [float(one.get("style", "").split("font-size: ")[1].split("px")[0]) for one in root.iter(f"{SVG}text")]
    assert min(sizes) >= 9
    again = tmp_path / "b.svg"
    drawn(cells, again)
    assert again.read_bytes() == (tmp_path / "a.svg").read_bytes()


@pytest.mark.parametrize("kind", ["own", "external"])
def test_the_noise_of_the_models_own_text_is_grey(kind: str, tmp_path: Path) -> None:
    root = drawn([cell("one", 0.0, 0.0, kind=kind)], tmp_path / "a.svg")
    grey = [one for one in root.iter(f"{SVG}path") if "opacity: 0.08" in one.get("style", "")]
    assert len(grey) == (2 if kind == "own" else 0)


def test_corpora_are_told_apart_without_colours(tmp_path: Path) -> None:
    root = drawn([cell(f"corpus-{place}", 0.3 * place, 0.2 * place) for place in range(6)], tmp_path / "a.svg")
    defined = [one.find(f"{SVG}path") for one in root.iter(f"{SVG}defs")]
    shapes = {path.get("d") for path in defined if path is not None and "stroke: #ffffff" in path.get("style", "")}
    assert len(shapes) == 6


def test_text_of_the_model_quantised_otherwise_is_not_its_own() -> None:
    own = cell("own", 0.0, 0.0, kind="own")
    assert _is_own(own) and not _is_own(own | {"loaded_otherwise": "own-4bit was sampled from …"})
    assert not _is_own(own | {"sampling": None}), "nor text of another model"


def sampled(name: str, **settings: float) -> Any:
    return cell(name, 0.0, 0.0, kind="own") | {"sampling": USUAL | settings}


@pytest.mark.parametrize(
    ("cells", "drawn"),
    [
        ([sampled("own"), sampled("t", temperature=0.7)], {"temperature": ["own", "t"]}),
        ([sampled("own"), sampled("p", top_p=0.9)], {"top_p": ["own", "p"]}),
        ([sampled("own"), sampled("k", top_k=40)], {}),
        ([sampled("t", temperature=0.7), sampled("p", top_p=0.9)], {}),
        ([sampled("own"), sampled("own-s1")], {}),
        ([sampled("own"), cell("web", 1.0, 1.0)], {}),
    ],
)
def test_a_sweep_is_drawn_where_two_corpora_differ_in_one_setting(cells: list[Any], drawn: dict[str, Any]) -> None:
    found = sweep_curves(cells)
    assert {name: [one["name"] for one in members] for name, members in found.items()} == drawn
