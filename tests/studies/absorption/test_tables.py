"""The tables of absorption: probes' scores where no parent is strong, figures, parents and children where some are."""

from typing import Any

from studies.absorption.tables import absorption_tables


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "ci95": [value - 0.1, value + 0.1]}


def test_strong_tasks_have_figures_and_weak_ones_their_probes() -> None:
    summary: Any = {
        "tasks": {
            "letters": {"texts": 9, "probes": {"a": 0.1, "b": 0.2}, "strong": [], "weak": ["a", "b"], "few": []},
            "kinds": {"texts": 8, "probes": {"x": 0.9, "y": 0.5}, "strong": ["x"], "weak": ["y"], "few": []},
        },
        "of_tasks": {"letters": {"own": {}}, "kinds": {"own": {"full_absorption": figure(0.25)}}},
        "parents": {"letters": {}, "kinds": {"x": {"own": {"full_absorption": figure(0.25)}}}},
        "children": {"letters": {}, "kinds": {"x: c": {"own": figure(0.5)}}},
        "contrasts": [],
    }
    weak, figures, parents, children = absorption_tables(summary)
    assert weak.title == "letters: F1 of probes on the activations" and [row[0] for row in weak.rows] == ["b", "a"]
    assert figures.title.startswith("kinds: 1 of 2 parents, 8 texts") and figures.rows[0][:2] == (
        "own",
        "0.2500\xa0±\xa00.1000",
    )
    assert parents.rows == [("x", "0.900", "0.250 (0.150 to 0.350)")]
    assert children.rows == [("x: c", "0.500 (0.400 to 0.600)")]
