"""What is declared of samples that others drew: enough to certify them against, or nothing at all."""

from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from generation.configs.add import AddConfig
from generation.external.declared import declared, wanted_samples
from generation.sources.samples import Wanted


def test_a_temperature_makes_samples_of_rows() -> None:
    assert wanted_samples(AddConfig("x")) is None
    assert wanted_samples(AddConfig("x", temperature=1.0)) == Wanted(ids=False)
    assert wanted_samples(AddConfig("x", temperature=0.5, ids=True, logprobs="lp", max_tokens=9)) == Wanted(
        ids=True, logprobs="lp", longest=9
    )


def test_what_is_declared_is_a_whole_sampling() -> None:
    spec = resolve_model("tiny")
    found = declared(AddConfig("x", temperature=0.7, top_k=50), spec, 64)
    assert found["drawn_in"] is None
    assert {name: found["sampling"][name] for name in ("temperature", "top_k", "top_p", "max_tokens")} == {
        "temperature": 0.7, "top_k": 50, "top_p": 1.0, "max_tokens": 63,
    }  # fmt: skip
    assert declared(AddConfig("x", temperature=1.0, dtype="float16"), spec, 64)["drawn_in"] == "float16"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"ids": True}, "--ids is said of samples .* say --temperature"),
        ({"top_p": 0.9, "dtype": "float32"}, "--top-p, --dtype is said"),
        ({"temperature": 0.0}, "drawn with temperature 0 have no randomness"),
        ({"temperature": 1.0, "top_k": 1}, "no randomness"),
        ({"temperature": 1.0, "top_p": 1e-7}, "no randomness"),
        ({"temperature": 3.0}, "temperature must be between 0 and 2"),
    ],
)
def test_a_sampling_that_certifies_nothing_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(FaithfulError, match=message):
        wanted_samples(AddConfig("x", **stated))


@pytest.mark.parametrize(
    ("stated", "message"),
    [({"max_tokens": 128}, "tiny has a context of 128"), ({"dtype": "int4"}, "is not a dtype")],
)
def test_what_does_not_fit_the_model_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(FaithfulError, match=message):
        declared(AddConfig("x", temperature=1.0, **stated), resolve_model("tiny"), 64)
