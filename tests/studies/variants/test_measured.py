"""What is taken of the tables of other studies."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.store.saes import find_saes
from studies.common.results import Row
from studies.variants.measured import of_metric, read_figures
from tests.studies.variants.known import SHAPES, table


def test_the_figures_of_each_sae_and_pair(by_hand: Path) -> None:
    read, left_out = read_figures(find_saes([by_hand / "saes"]), by_hand / "studies")
    assert left_out == {"fakes": "missing"}
    topk = SHAPES["topk"]
    shared = of_metric(read, "web", topk, "shared_feature_ratio")
    assert len(shared) == 15 and all(value != 0.1 for value in shared.values())
    assert of_metric(read, "own", topk, "alive_share")[4] == 0.75
    assert of_metric(read, "own", topk, "ce_recovered")[0] == 0.9
    assert of_metric(read, "own", topk, "accuracy")[0] == pytest.approx(0.7), "without what is solved"
    assert of_metric(read, "own", topk, "fake_contrast") == {}


def test_a_table_that_cannot_be_read_is_named(by_hand: Path) -> None:
    (by_hand / "studies" / "probes" / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(FaithfulError, match=r"Cannot read .*probes.*; run the study again"):
        read_figures(find_saes([by_hand / "saes"]), by_hand / "studies")


def test_tables_older_than_an_sae_are_left_out(by_hand: Path) -> None:
    saes = find_saes([by_hand / "saes"])
    trained = max((sae.folder / "cfg.json").stat().st_mtime for sae in saes)
    os.utime(by_hand / "studies" / "seeds" / "results.parquet", (trained - 9, trained - 9))
    read, left_out = read_figures(saes, by_hand / "studies")
    assert left_out == {"seeds": "outdated", "fakes": "missing"}
    assert of_metric(read, "own", SHAPES["topk"], "shared_feature_ratio") == {}


@pytest.mark.parametrize(("said", "accuracy"), [({}, 0.9), ({"unmarked": ["b"]}, 0.8), ({"unmarked": []}, None)])
def test_tasks_count_as_the_summary_says(by_hand: Path, said: dict[str, list[str]], accuracy: float | None) -> None:
    shape = SHAPES["topk"]
    rows = [
        Row("probes", "own", f"accuracy:{task}:f", value, 9.0, seed=0, shape=shape)
        for task, value in (("a", 1.0), ("b", 0.8))
    ]
    table(by_hand, "probes", rows, **said)
    read, left_out = read_figures(find_saes([by_hand / "saes"]), by_hand / "studies")
    assert of_metric(read, "own", shape, "accuracy").get(0) == (accuracy and pytest.approx(accuracy))
    assert left_out.get("probes") == (None if accuracy else "ceiling")


def test_studies_that_a_run_seldom_has_count_where_they_are(by_hand: Path) -> None:
    shape = SHAPES["topk"]
    scr = [Row("interventions", "own", "scr", 0.1 * n, float(n), seed=0, shape=shape) for n in (2, 5, 10)]
    table(by_hand, "interventions", [*scr, Row("interventions", "own", "scr_permuted", 9.0, 5.0, seed=0, shape=shape)])
    base = Row("absorption", "own", "full_absorption", 0.25, seed=0, shape=shape)
    table(by_hand, "absorption", [base, replace(base, value=9.0, other="letters")])
    read, left_out = read_figures(find_saes([by_hand / "saes"]), by_hand / "studies")
    assert left_out == {"fakes": "missing"}, "of the others nothing is missed"
    assert of_metric(read, "own", shape, "scr") == {0: pytest.approx(0.5)}, "at the middle number of latents"
    assert of_metric(read, "own", shape, "full_absorption") == {0: 0.25}, "over all tasks"
