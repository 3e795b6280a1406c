"""What SAEBench wrote as rows."""

from typing import Any

import pytest

from faithful.store.saes import TrainedSae
from studies.bridge.results import bridge_table, rows_of
from studies.common.results import Row
from tests.studies.bridge.recording import recorded, write_small


@pytest.fixture
def sae(tmp_path: Any) -> TrainedSae:
    from faithful.store.saes import find_saes

    write_small(tmp_path / "own" / "seed-2")
    return find_saes([tmp_path])[0]


def value_of(rows: list[Row], metric: str, k: float | None = None) -> float | None:
    (row,) = (row for row in rows if row.metric == metric and row.parameter == k)
    return row.value


def test_figures_of_core(sae: TrainedSae) -> None:
    rows, wrote = rows_of("saebench", "core", sae, recorded("core")), recorded("core")["eval_result_metrics"]
    assert value_of(rows, "core:ce_loss_with_sae") == wrote["model_performance_preservation"]["ce_loss_with_sae"]
    assert value_of(rows, "core:l0") == wrote["sparsity"]["l0"] == 8.0
    assert {(row.study, row.seed) for row in rows} == {("saebench", 2)}
    assert not any("index" in row.metric for row in rows)


def test_figures_of_sparse_probing_by_k_and_task(sae: TrainedSae) -> None:
    rows = rows_of("saebench", "sparse_probing", sae, recorded("sparse_probing"))
    (speech,) = (
        one for one in recorded("sparse_probing")["eval_result_details"] if one["dataset_name"] == "speech_results"
    )
    assert value_of(rows, "sparse_probing:sae_top:speech", 5) == speech["sae_top_5_test_accuracy"]
    assert value_of(rows, "sparse_probing:llm:speech") == speech["llm_test_accuracy"]
    means = recorded("sparse_probing")["eval_result_metrics"]["sae"]
    assert value_of(rows, "sparse_probing:sae_top", 50) == means["sae_top_50_test_accuracy"]
    assert not any(row.value is None for row in rows)


def test_figures_of_sae_probes_and_what_is_not_defined(sae: TrainedSae) -> None:
    entry = {"k": 4, "test_acc": 0.5, "test_auc": float("nan"), "test_f1": 0.25}
    found = {"a": [entry | {"dataset": "one"}], "b": [entry | {"dataset": "two", "test_acc": 1.0}]}
    rows = rows_of("sae-probes", "sae_probes", sae, found)
    assert value_of(rows, "sae_probes:test_acc:two", 4) == 1.0
    assert value_of(rows, "sae_probes:test_acc", 4) == 0.75
    assert value_of(rows, "sae_probes:test_auc", 4) is None


def test_the_table_is_of_means_over_the_saes_of_a_corpus() -> None:
    def row(corpus: str, value: float | None, k: float | None = None, metric: str = "core:l0") -> Row:
        return Row("saebench", corpus, metric, value, k)

    rows = [
        row("a", 1.0),
        row("a", 2.0),
        row("b", None),
        row("a", 0.5, 5, "sparse_probing:sae_top"),
        row("a", 9.0, metric="else"),
    ]
    table = bridge_table(rows)
    assert table.header == ("figure", "a", "b")
    assert table.rows == [("core:l0", "1.5000", "–"), ("sparse_probing:sae_top, k 5", "0.5000", "–")]
