"""What is refused before anything is read."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from studies.interventions.config import InterventionsConfig, refuse


def test_settings_that_take_nothing_out_are_refused() -> None:
    refuse(InterventionsConfig((), Path()))
    with pytest.raises(FaithfulError, match="no number of latents"):
        refuse(InterventionsConfig((), Path(), latents=(0,)))
