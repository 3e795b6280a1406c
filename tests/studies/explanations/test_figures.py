"""The figure of the study."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from studies.explanations.config import ExplanationsConfig
from studies.explanations.figures import draw
from tests.studies.explanations.oracle import Server

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


def test_the_figure_has_a_line_for_each_corpus_and_control(explained: Explained, tmp_path: Path) -> None:
    summary: Any = explained[1]
    draw(summary, tmp_path)
    text = (tmp_path / "detection.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert ">own<" in text and ">cool<" in text and text.count("stroke-dasharray") >= 4
