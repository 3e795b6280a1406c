"""What is measured of an SAE: the settings in order, and how its latents fire."""

from pathlib import Path

import numpy as np
import torch

from studies.common.codes import Codes
from studies.unlearning.bench import Setting, _firing, settings_of
from studies.unlearning.config import UnlearningConfig


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
