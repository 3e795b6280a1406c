"""The figure of the study of variants."""

import xml.etree.ElementTree as ET

from studies.common.results import Done
from studies.variants.config import STUDY


def test_every_contrast_of_the_own_corpus_is_drawn_but_controls(done: Done) -> None:
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in (done.folder / "figures").glob("*.svg")}
    assert drawn.keys() == STUDY.captions.keys()
    ET.fromstring(drawn["differences"])
    for metric in ("fvu", "alive_share", "shared_feature_ratio", "accuracy", "ce_recovered"):
        assert f">anneal-s2: {metric}<" in drawn["differences"]
    assert "frozen-decoder" not in drawn["differences"]
