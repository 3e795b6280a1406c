"""Tables in the report's words."""

from pathlib import Path

import pytest

from studies.common.tables import Table, plus_minus
from studies.report.readable import PATTERNS, WORDS, in_words, readable

METRICS = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_names_are_words_with_the_name_beside_them() -> None:
    shown = readable(Table("t", ("metric", "own"), [("pw_mcc", "0.4795"), ("accuracy_k10", "0.7"), ("novel", "0.5")]))
    assert shown.rows == [
        ("mean cosine of matched features (pw_mcc)", "0.4795"),
        ("accuracy, probe on the best 10 latents (accuracy_k10)", "0.7"),
        ("novel", "0.5"),
    ]
    assert shown.title == "t" and shown.note == ""


def test_rows_of_nothing_are_one_sentence() -> None:
    rows = [("floor_init", f"m{i}", "0.0000", "0.0000 (0.0000 to 0.0000)") for i in range(3)]
    kept = [("floor_init", "a", "0.0000", "0.1"), ("floor_init", "b", "–", "–")]
    shown = readable(Table("", ("floor", "metric", "own", "prose"), [*rows, *kept]))
    assert len(shown.rows) == 2
    assert shown.note == "0 to all digits shown: before training, m0; before training, m1; before training, m2."
    missing = [("floor_init", f"m{i}", "0.0000", "–") for i in range(4)]
    assert len(readable(Table("", ("floor", "metric", "own", "prose"), missing)).rows) == 4, "what is missing is not 0"
    halves = [(f"m{i}", plus_minus(0.0, [0.0, 0.0]), plus_minus(-0.00001, [-0.00002, 0.0])) for i in range(3)]
    assert readable(Table("", ("metric", "own", "prose"), halves)).note == "0 to all digits shown: m0; m1; m2."
    assert len(readable(Table("", ("floor", "own"), [("x", "0.0000")])).rows) == 1, "one is no reason for a sentence"


def test_names_in_a_title_or_sentence_are_words_too() -> None:
    shown = readable(Table("fake_contrast: contrasts", ("own", "sfr_both"), [("by pw_mcc of fake_notes_x", "1")]))
    assert shown.title == "fake features, on random tokens and hardly on text (fake_contrast): contrasts"
    assert shown.header == ("own", "shared, by decoder and encoder rows (sfr_both)")
    assert shown.rows == [("by mean cosine of matched features (pw_mcc) of fake_notes_x", "1")]
    assert in_words("words, accuracy and l0") == "words, accuracy and l0"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fake_density_5_of_bound", "fires on more than 5 % of random tokens, of the most there can be"),
        ("fake_density_5", "fires on more than 5 % of random tokens"),
        ("tpp_n10", "TPP with 10 latents out"),
    ],
)
def test_numbers_of_a_name_stand_in_its_words(name: str, words: str) -> None:
    assert in_words(name) == f"{words} ({name})"


def test_every_name_that_has_words_is_defined_in_the_docs() -> None:
    defined = METRICS.read_text(encoding="utf-8")
    family = {
        "fake_contrast_shuffled",
        "fake_contrast_unigram",
        "fake_contrast_permuted_model",
        "fake_contrast_untrained",
    }
    assert "`fake_contrast_CONTROL`" in defined
    assert [name for name in WORDS.keys() - family if f"`{name}`" not in defined] == []
    assert all(pattern.groups == 1 and "{}" in template for pattern, template in PATTERNS)
    assert in_words("nothing_known") == "nothing_known"
