"""Tables of the seed study."""

from pathlib import Path
from typing import Any

from studies.catalog import find_study
from studies.seeds.chance import highest_floor


def test_floors_are_shown_on_request(studied: tuple[Path, dict[str, Any]]) -> None:
    study, summary = find_study("seeds"), studied[1]
    shown, full = ([table.title for table in study.tables(summary, full)] for full in (False, True))
    assert [title.partition(":")[0] for title in full if title not in shown] == [
        "Floors", "How probably a latent reappears with another seed, by its density; in brackets latents of an SAE",
    ]  # fmt: skip
    (rows,) = [table.rows for table in study.tables(summary, False) if table.title.startswith("Within a corpus")]
    assert rows[-1] == (
        "shared_feature_ratio by chance (the highest floor)",
        *(f"{highest_floor(of):.4f}" for of in summary["corpora"].values()),
    )
