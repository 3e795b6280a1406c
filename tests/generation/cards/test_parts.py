"""What the cards of all corpora share."""

from typing import Any

import pytest

from generation.cards.parts import BESIDE, figures_beside, licence_tags, statistics_rows


@pytest.mark.parametrize(
    ("licence", "tags"),
    [
        (None, {}),
        ("MIT", {"license": "mit"}),
        ("mit + ODC-By", {"license": ["mit", "odc-by"]}),
        ("PSF-2.0", {"license": "other", "license_name": "psf-2.0"}),
        ("other", {"license": "other", "license_name": "as-the-source-states"}),
    ],
)
def test_licences_are_spelt_as_the_hub_has_them(licence: str | None, tags: dict[str, Any]) -> None:
    assert licence_tags(licence) == tags


def test_figures_that_were_not_found_are_left_out() -> None:
    assert figures_beside(None) == {} == figures_beside({"verdict": "close", "ce": None})
    found = dict.fromkeys(BESIDE, 1.5) | {"surprise_gap": 0.1, "z": 2}
    assert figures_beside(found) == {"surprise_gap": 0.1} | dict.fromkeys(BESIDE, 1.5)
    assert figures_beside(found | {"as_declared": True}) == dict.fromkeys(BESIDE, 1.5)


def test_statistics_are_tabled_by_what_they_are() -> None:
    rows = statistics_rows(
        {
            "documents": 12345, "eos_rate": 0.25, "length_mean": 31.23456, "ce": None, "computed_on": {"curves": 3},
            "across": {"shared_grams": {"share": 0.125}},
            "curves": {"budgets": [1000, 2000], "distinct_2": [0.9, 0.8765432]},
        }
    )  # fmt: skip
    assert rows == [
        ("documents", "12,345"),
        ("eos rate", "25.00%"),
        ("length mean", "31.23"),
        ("held-out runs of 13 tokens that the training split holds", "12.50%"),
        ("distinct 2 at 2,000 tokens", "0.8765"),
    ]
