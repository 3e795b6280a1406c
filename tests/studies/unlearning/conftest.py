"""A study that several tests read: question files of both sides, and a model that cannot answer them."""

import json
from pathlib import Path
from typing import Any

import pytest

from studies.unlearning.config import UnlearningConfig
from studies.unlearning.study import study_unlearning


@pytest.fixture(scope="session")
def question_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("questions")
    paths = folder / "forget.jsonl", folder / "retain.jsonl"
    for place, path in enumerate(paths):
        rows = [
            {"question": f"The boat {'xy'[place]} {n} was", "choices": ["home", "lost at sea"], "answer": n % 2}
            for n in range(24)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


@pytest.fixture(scope="session")
def unlearned(
    run: Path, question_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[UnlearningConfig, dict[str, Any]]:
    config = UnlearningConfig(
        (run / "saes",), tmp_path_factory.mktemp("study") / "unlearning", forget="own", retain="cool",
        forget_questions=str(question_files[0]), retain_questions=str(question_files[1]), tokens=1500, device="cpu",
        thresholds=(0.01, 0.5), latents=(5,), multipliers=(1.0, 8.0),
    )  # fmt: skip
    return config, dict(study_unlearning(config).summary)
