"""A study that several tests read."""

import json
from pathlib import Path
from typing import Any

import pytest

from studies.interventions.config import InterventionsConfig
from studies.interventions.study import study_interventions


@pytest.fixture(scope="session")
def intervened(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[InterventionsConfig, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("interventions")
    words = (("boat", "tide"), ("keeper", "harbour"))
    rows = [
        {"text": f"{words[0][n % 2]} number {n} of the {words[1][n // 2 % 2]}", "a": n % 2, "b": n // 2 % 2}
        for n in range(300)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = InterventionsConfig(
        (run / "saes",),
        folder / "out",
        device="cpu",
        pair=f"{path}:text:a:b",
        train_size=16,
        test_size=16,
        latents=(2, 5),
    )
    return config, dict(study_interventions(config).summary)
