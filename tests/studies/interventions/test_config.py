"""What is refused before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.interventions.config import STUDY, InterventionsConfig


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latents": (0,)}, "no number of latents"),
        ({"train_size": 7}, "at least 8 texts"),
        ({"pair": "some.csv:text:label"}, "does not name a text and two labels"),
        ({"pair": "some.csv:text:label:label"}, "does not name a text and two labels"),
        ({"pair": "no/such.csv:text:a:b"}, r"no table no/such\.csv"),
        ({"pair": "nowhere:text:a:b"}, "no table nowhere"),
        ({"task": "nonsense"}, "'nonsense' is no task"),
        ({"task": "sae-probes:none-of-these"}, "sae-probes"),
        ({"task": "speech"}, "speech has 2 classes and TPP needs three"),
    ],
)
def test_what_cannot_be_done_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        STUDY.check(InterventionsConfig((), Path(), **change))


@pytest.mark.parametrize("change", [{}, {"pair": "someone/pairs-v1.5:text:a:b"}, {"task": "a/b:c:d"}])
def test_what_may_be_there_is_not(change: dict[str, Any]) -> None:
    STUDY.check(InterventionsConfig((), Path(), **change))
