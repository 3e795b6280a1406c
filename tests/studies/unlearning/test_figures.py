"""The figure of the unlearning study."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from studies.unlearning.config import UnlearningConfig
from studies.unlearning.figures import draw


def test_each_kind_of_setting_has_a_panel(unlearned: tuple[UnlearningConfig, dict[str, Any]], tmp_path: Path) -> None:
    summary: Any = unlearned[1]
    draw(summary, tmp_path)
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert "5 latents, density" in text and text.count(">multiplier<") == 2
