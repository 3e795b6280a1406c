"""What commands have besides their configuration."""

import pytest

from faithful.base.errors import FaithfulError
from faithful.cli.shared import refuse_assumptions


def test_an_assumed_gpu_is_for_forecasts_and_known() -> None:
    refuse_assumptions(None, dry_run=False)
    refuse_assumptions("h100", dry_run=True)
    with pytest.raises(FaithfulError, match="--assume is for forecasts"):
        refuse_assumptions("h100", dry_run=False)
    with pytest.raises(FaithfulError, match="h200"):
        refuse_assumptions("abacus", dry_run=True)
