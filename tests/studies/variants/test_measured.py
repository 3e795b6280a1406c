"""What is taken of the tables of other studies."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.store.saes import find_saes
from studies.variants.measured import of_metric, read_figures
from tests.studies.variants.known import SHAPES


def test_the_figures_of_each_sae_and_pair(run: Path) -> None:
    read, missing = read_figures(find_saes([run / "saes"]), run / "studies")
    assert missing == ["fakes"]
    topk = SHAPES["topk"]
    shared = of_metric(read, "web", topk, "shared_feature_ratio")
    assert len(shared) == 15 and all(value != 0.1 for value in shared.values())
    assert of_metric(read, "own", topk, "alive")[4] == 0.75
    assert of_metric(read, "own", topk, "ce_recovered")[0] == 0.9
    assert of_metric(read, "own", topk, "accuracy")[0] == pytest.approx(0.7)
    assert of_metric(read, "own", topk, "fake_contrast") == {}


def test_a_table_that_cannot_be_read_is_named(run: Path) -> None:
    (run / "studies" / "probes" / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(FaithfulError, match=r"Cannot read .*probes.*; run the study again"):
        read_figures(find_saes([run / "saes"]), run / "studies")
