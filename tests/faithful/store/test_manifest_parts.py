"""What a manifest's parts must look like when they are read again."""

from typing import Any

import pytest

from faithful.base.shapes import Misfit, check
from faithful.store.manifest_parts import Certificate, Identity, Provenance, Segment, Statistics

WEB = {"kind": "hub", "repo": "org/web", "columns": ["text"]}


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        (Certificate, {"ci95": [0.1, 0.2, 0.3]}, "`ci95` is [0.1, 0.2, 0.3], and a list of 2 is meant"),
        (Certificate, {"ci95": [0.1, "0.2"]}, "`ci95[1]` is '0.2', and a number is meant"),
        (Certificate, {"tests": {"eos": {"p": 1.5}}}, "`tests.eos.p` is 1.5, and a number from 0 to 1 is meant"),
        (Identity, {"model": {"vocab_size": 0}}, "`model.vocab_size` is 0, and a whole number of at least 1 is meant"),
        (Identity, {"source": WEB | {"columns": None}}, "`source.columns` is None, and a list is meant"),
        (
            Segment,
            {"state": {"open": [[0, -1]]}},
            "`state.open[0][1]` is -1, and a whole number of at least 0 is meant",
        ),
        (Statistics, {"lengths": {"twelve": 1}}, "a length is meant"),
        (
            Provenance,
            {"inputs": [{"provenance": {"inputs": [{"kind": "mine"}]}}]},
            "`inputs[0].provenance.inputs[0].kind` is 'mine', and 'own' or 'external' or 'foreign' or 'derived' is meant",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(part: Any, values: dict[str, Any], said: str) -> None:
    with pytest.raises(Misfit) as caught:
        check(values, part)
    assert said in str(caught.value)


def test_keys_may_be_missing_and_others_are_left_alone() -> None:
    for part in (Certificate, Identity, Provenance, Segment, Statistics):
        check({}, part)
        check({"of a later version": 1}, part)
    check({"inputs": [{"identity": {"source": WEB}, "provenance": {"source": {"licence": None}}}]}, Provenance)
