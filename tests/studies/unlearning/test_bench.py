"""What is measured of an SAE: the settings in order, and how its latents fire."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from studies.common.codes import Codes
from studies.unlearning.bench import Bench, Setting, _firing, settings_of
from studies.unlearning.config import UnlearningConfig
from tests.studies.unlearning.planted import planted_asked


def test_settings_begin_with_the_mildest() -> None:
    config = UnlearningConfig((), Path(), thresholds=(0.01, 0.001), latents=(20, 10), multipliers=(4.0, 1.0))
    found = settings_of(config)
    assert found[0] == Setting(0.001, 10, 1.0) and found[-1] == Setting(0.01, 20, 4.0) and len(found) == 8


def test_firing_is_counted_on_each_side_and_measured_on_what_is_to_go() -> None:
    values = torch.tensor([[2.0, 0.0], [4.0, 1.0], [9.0, 3.0]])
    latents = torch.tensor([[0, 1], [0, 2], [0, 3]], dtype=torch.int32)
    found = _firing(Codes(values, latents, 4), np.array([0, 0, 1]))
    assert found["forget"].tolist() == [1, 0, 0.5, 0] and found["retain"].tolist() == [1, 0, 0, 1]
    assert found["strength"].tolist() == [3, 0, 1, 0]


def test_other_answers_are_other_cells(tmp_path: Path) -> None:
    """The same contexts and choices, with another one right."""
    found: Any = SimpleNamespace(spec=SimpleNamespace(revision="", precision=""), hook=SimpleNamespace(name=""))
    panel: Any = SimpleNamespace(sha256="")
    asked = planted_asked("secret", 0)

    def bench(answers: np.ndarray) -> Bench:
        config = UnlearningConfig((), tmp_path)
        return Bench(config, found, panel, {"forget": replace(asked, answers=answers)}, {})

    bench(asked.answers)._cells.put({}, "an SAE")
    assert bench(asked.answers)._cells.get("an SAE") == {}
    assert bench(asked.answers + 1)._cells.get("an SAE") is None
