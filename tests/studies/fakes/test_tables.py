"""Tables of the study of fakes."""

from typing import Any

from studies.fakes import tables as fakes
from studies.fakes.rules import DENSITIES
from studies.fakes.tables import fakes_tables


def figure(value: float, **errors: float) -> dict[str, Any]:
    return {"value": value, "ci95": None} | errors


FOREIGN = {
    "foreign": {"own": {"web": figure(0.25)}, "web": {"own": figure(0.5)}},
    "woken": {"own": {"random tokens": figure(0.125), "web": figure(0.0)}, "web": {"random tokens": figure(0.0)}},
    "sweep_foreign": {"own": {"0.01": figure(0.25)}, "web": {"0.01": figure(0.5)}},
    "contrasts": [],
}


def test_what_fires_strongly_is_a_row_per_text_and_a_column_per_corpus() -> None:
    corpora = {"own": {"strong_own": figure(0.75)}, "web": {"l0_ratio_noise": figure(1.5)}}
    sizes = {"foreign_quantile": 0.999, "foreign_share": 0.4}
    shares, over_p = fakes._foreign(fakes_summary(corpora, sizes), ["own", "web", "elsewhere"])
    assert "(above 0.4 of a latent's 99.9% quantile on its own text)" in shares.title
    assert shares.header == ("what", "text", "own", "web"), "an SAE whose own text is not there has no column"
    assert shares.rows == [
        ("foreign to", "web", "0.2500", "–"),
        ("foreign to", "own", "–", "0.5000"),
        ("woken by", "random tokens", "0.1250", "0.0000"),
        ("woken by", "web", "0.0000", "–"),
        ("strong_own", "its own text", "0.7500", "–"),
        ("l0_ratio_noise", "random tokens", "–", "1.5000"),
    ]
    assert over_p.rows == [("foreign to", "1.0%", "0.2500", "0.5000")]


def fakes_summary(corpora: dict[str, Any], sizes: dict[str, Any]) -> Any:
    return {"corpora": corpora, "sizes": sizes, "foreign": FOREIGN}


def test_rules_errors_controls_and_sweeps() -> None:
    figures = {"fake_contrast": figure(0.25, error_seeds=0.01, error_drawn=0.02), "fake_contrast_shuffled": figure(0.5)}
    sweep = {"own": {"0.01": figure(0.125), "0.1": figure(0.0)}}
    over = {"own": {tau: {str(p): figure(0.75) for p in (*DENSITIES, 0.02)} for tau in ("1", "q0.5")}}
    sweeps = {
        "sweep_contrast": sweep,
        "sweep_density": sweep,
        "sweep_tau": over,
        "silent_on_panel": {"own": figure(1234)},
    }
    sizes = {"noise_contexts": 64, "noise_tokens": 1984, "fake_notes_contexts": 32}
    summary: Any = {"corpora": {"own": figures}, "sizes": sizes, "sweeps": sweeps, "contrasts": []}
    fakes, rules, errors, controls, bounds, over_p, over_tau = fakes_tables(summary)
    assert "(64 contexts of random tokens, 1,984 tokens)" in fakes.title
    assert fakes.rows == [("fake_contrast", "0.2500")], "no texts are compared, and only fakes are called so"
    assert "no share of fakes" in rules.title and "the paper's notes: of the first 32 contexts" in rules.title
    assert rules.rows[0] == ("fake_notes", "–")
    assert errors.rows[:2] == [("fake_contrast", "0.0100 + 0.0200"), ("fake_notes", "–")]
    assert controls.rows == [("fake_contrast_shuffled", "0.5000")], "a control that was not read has no row"
    assert [row[0] for row in bounds.rows] == ["fake_contrast_of_bound", "fake_density_1_of_bound"]
    assert over_p.rows[:2] == [("fake_contrast", "1.0%", "0.1250"), ("fake_contrast", "10.0%", "0.0000")]
    assert "1,234" in over_tau.title and {row[0] for row in over_tau.rows} == {"1", "the latent's median on text"}
    assert len(over_tau.rows) == 2 * len(DENSITIES), "what is in no other table"
