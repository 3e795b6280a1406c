"""What training shows when it is done."""

import json
from pathlib import Path

import pytest

from faithful.cli.output.training_tables import hardly_trained, quality_rows
from faithful.training.card import mean_and_sd

GIVEN = {"fvu": 0.2, "l0": 16.0, "ce_diff": 0.1, "ce_recovered": 0.9, "kl": 0.1, "cosine": 0.9, "never_fired": 3}


@pytest.fixture
def saes(tmp_path: Path) -> list[Path]:
    folders = []
    for corpus, start in (("own", 0.3), ("prose", 0.7)):
        for seed in range(3):
            folder = tmp_path / corpus / "resid_pre.3-f64-k4" / f"seed-{seed}"
            folder.mkdir(parents=True)
            evaluation = GIVEN | {"fvu": 0.2 + 0.01 * seed, "start_cosine": start}
            record = {"identity": {"corpus": corpus, "init_seed": seed}, "evaluation": evaluation}
            (folder / "cfg.json").write_text(json.dumps({"metadata": {"faithful": record}}))
            folders.append(folder)
    return folders


def test_a_row_per_corpus_with_mean_and_deviation(saes: list[Path]) -> None:
    header, rows = quality_rows(saes)
    assert [row[:3] for row in rows] == [("own", "resid_pre.3-f64-k4", "3"), ("prose", "resid_pre.3-f64-k4", "3")]
    assert rows[0][header.index("fvu")] == "0.21 ± 0.01"
    assert rows[1][header.index("start_cosine")] == "0.7 ± 0"


def test_a_deviation_that_is_rounding_alone_is_none() -> None:
    assert mean_and_sd([16.0, 16.000000000000004]) == "16 ± 0"
    assert mean_and_sd([16.0, 16.0001]) == "16 ± 7.1e-05"
    assert mean_and_sd([0.0, 0.0]) == "0 ± 0" and mean_and_sd([16.0]) == "16" and mean_and_sd([1.0, None]) == "–"


def test_who_has_hardly_left_the_start_is_named(saes: list[Path]) -> None:
    (sentence,) = hardly_trained(saes)
    assert sentence.startswith("prose resid_pre.3-f64-k4: hardly trained.") and "0.70" in sentence
    assert hardly_trained(saes[:3]) == []


def test_saes_that_do_not_say_how_far_they_went_get_a_dash_and_no_sentence(saes: list[Path]) -> None:
    path = saes[3] / "cfg.json"
    config = json.loads(path.read_text())
    del config["metadata"]["faithful"]["evaluation"]["start_cosine"]
    path.write_text(json.dumps(config))
    header, rows = quality_rows(saes[3:])
    assert rows[0][header.index("start_cosine")] == "–"
    assert len(hardly_trained(saes[3:])) == 1, "the others still say so"
    assert hardly_trained(saes[3:4]) == []
