"""The tables of a study of probes, from a summary as the study writes it."""

import copy

from studies.common.tables import Table
from studies.probes.tables import probes_tables
from tests.studies.probes.data import summary_of_probes


def test_tasks_state_floor_baseline_and_overlap() -> None:
    table = probes_tables(summary_of_probes())[0]
    easy, hard = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert hard == {
        "task": "hard",
        "classes": "2",
        "train / test": "80 / 40",
        "majority": "0.550",
        "words alone": "0.650 (0.600 to 0.700)",
        "activations h": "0.700 (0.650 to 0.750)",
        "mark": "",
        "in training text": "own 0/3, web 0/3",
    }
    assert easy["mark"] == "ceiling: left out of the means"


def test_tasks_that_words_alone_solve_as_well_are_marked() -> None:
    summary = summary_of_probes()
    summary["tasks"]["hard"]["words"]["accuracy"] = 0.7
    table = probes_tables(summary)[0]
    assert "words alone tell as much" in cells_of(table, "hard")
    assert "words alone tell as much" not in str(cells_of(table, "easy"))


def test_a_study_made_before_there_was_a_floor_of_words_is_still_shown() -> None:
    summary = summary_of_probes()
    del summary["tasks"]["hard"]["words"]
    table = probes_tables(summary)[0]
    assert dict(zip(table.header, cells_of(table, "hard"), strict=True))["words alone"] == "–"


def test_folds_of_examples_are_said_where_a_task_has_groups() -> None:
    summary = summary_of_probes()
    summary["tasks"]["hard"] |= {"train_groups": 3}
    assert "folds of examples: a class has one group" in cells_of(probes_tables(summary)[0], "hard")
    summary["tasks"]["hard"] |= {"folds_of": "groups"}
    assert "folds of examples: a class has one group" not in cells_of(probes_tables(summary)[0], "hard")
    del summary["tasks"]["hard"]["overlap"]["web"]
    summary["tasks"]["hard"]["overlap"].clear()
    assert cells_of(probes_tables(summary)[0], "hard")[-1] == "–"


def test_each_task_shows_the_last_point_of_the_curve_and_every_k_of_each_corpus() -> None:
    table = probes_tables(summary_of_probes())[1]
    assert table.header == ("task", "probe on", "own", "web")
    assert [row[1] for row in table.rows] == ["codes f", "reconstructions ĥ", "best 1 latents", "best 4 latents"] * 2
    assert table.rows[4][2:] == ("0.600 (0.580 to 0.620)", "0.620 (0.600 to 0.640)")
    short = copy.deepcopy(summary_of_probes())
    short["by_task"]["hard"]["web"]["k_sparse"].pop()
    assert probes_tables(short)[1].rows[7] == ("hard", "best 4 latents", "0.550 (0.530 to 0.570)")


def test_means_are_over_the_tasks_that_are_not_at_their_ceiling() -> None:
    summary = summary_of_probes()
    table = probes_tables(summary)[2]
    assert table.title == "Means over hard"
    assert [row[0] for row in table.rows] == ["accuracy", "majority"], "figures of single tasks stand elsewhere"
    summary["unmarked"] = []
    assert "no task: all are at their ceiling" in probes_tables(summary)[2].title


def cells_of(table: Table, name: str) -> tuple[str, ...]:
    return next(tuple(row) for row in table.rows if row[0] == name)
