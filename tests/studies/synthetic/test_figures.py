"""Its figures."""

import xml.etree.ElementTree as ET

from studies.common.results import Done
from studies.synthetic.config import STUDY


def test_every_variant_is_drawn_on_every_truth(done: Done) -> None:
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in (done.folder / "figures").glob("*.svg")}
    assert drawn.keys() <= STUDY.captions.keys() and {"recovery", "agreement"} <= drawn.keys()
    for text in drawn.values():
        ET.fromstring(text)
    for stem in ("recovery", "agreement"):
        assert all(drawn[stem].count(f">{said}<") == 2 for said in ("topk", "topk-d_sae40-k2"))
        assert all(f">{truth}<" in drawn[stem] for truth in ("hier", "ind"))
