"""Tables of the study of fakes."""

from typing import Any

from studies.fakes.rules import DENSITIES
from studies.fakes.tables import fakes_tables


def figure(value: float, **errors: float) -> dict[str, Any]:
    return {"value": value, "ci95": None} | errors


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
    rules, errors, controls, bounds, over_p, over_tau = fakes_tables(summary)
    assert "(64 contexts of random tokens, 1,984 tokens; fake_notes: the first 32)" in rules.title
    assert rules.rows[0] == ("fake_contrast", "0.2500") and rules.rows[1] == ("fake_notes", "–"), (
        "no texts are compared"
    )
    assert errors.rows[:2] == [("fake_contrast", "0.0100 + 0.0200"), ("fake_notes", "–")]
    assert controls.rows == [("fake_contrast_shuffled", "0.5000")], "a control that was not read has no row"
    assert [row[0] for row in bounds.rows] == ["fake_contrast_of_bound", "fake_density_1_of_bound"]
    assert over_p.rows[:2] == [("fake_contrast", "1.0%", "0.1250"), ("fake_contrast", "10.0%", "0.0000")]
    assert "1,234" in over_tau.title and {row[0] for row in over_tau.rows} == {"1", "the latent's median on text"}
    assert len(over_tau.rows) == 2 * len(DENSITIES), "what is in no other table"
