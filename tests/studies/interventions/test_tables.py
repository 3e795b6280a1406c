"""The tables say of themselves what they are not."""

from typing import Any

from studies.interventions.config import MARK
from studies.interventions.tables import interventions_tables
from studies.report.readable import in_words


def test_a_score_without_a_denominator_is_a_dash() -> None:
    nothing = {"value": None, "ci95": None, "seeds": 0}
    summary: Any = {
        "asked": {"pair": "p", "labels": ["a", "b"], "accuracies": [1, 1], "fooled": [1, 1], "task": "t"},
        "sizes": {"latents": [2]},
        "corpora": {"own": {"scr_n2": nothing, "tpp_n2": {"value": 0.5, "ci95": None, "seeds": 1}}},
    }
    probes, of_scr, of_tpp = interventions_tables(summary)
    assert [in_words(one) for one in probes.header] == list(probes.header), "these probes are on the activations"
    assert of_scr.title.startswith(MARK) and of_scr.rows == [("own", "–")] and of_tpp.rows == [("own", "0.5000")]
