"""The figure says of itself what it is not."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from studies.interventions.config import MARK, InterventionsConfig
from studies.interventions.figures import draw


def test_both_scores_of_every_corpus_are_drawn(
    intervened: tuple[InterventionsConfig, dict[str, Any]], tmp_path: Path
) -> None:
    summary: Any = intervened[1]
    draw(summary, tmp_path)
    text = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert f">{MARK}<" in text and all(
        f">{name}, {score}<" in text for name in ("own", "cool") for score in ("SCR", "TPP")
    )
