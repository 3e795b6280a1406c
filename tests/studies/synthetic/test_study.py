"""The study as a whole, and as it is typed."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from faithful.cli import app
from studies.common.controls import PERMUTED, UNTRAINED
from studies.common.results import Done, read_summary
from studies.common.tables import control_tables
from studies.report.config import ReportConfig
from studies.report.write import write_report
from studies.statistics.sentences import BELOW_TRUTH, ORACLE, standing
from studies.synthetic.config import STUDY, SyntheticConfig
from studies.synthetic.study import study_synthetic
from tests.documented import names_of_study, undocumented


def test_what_it_leaves(small: SyntheticConfig, done: Done) -> None:
    summary = read_summary(done.folder / "summary.json")
    assert list(summary["corpora"]) == [
        f"{arm} on {truth}" for truth in ("hier", "ind") for arm in ("topk", "topk-d_sae40-k2")
    ]
    assert summary["sizes"] == {"truth_seeds": 3, "seeds": 2, "saes": 24, "tokens": 5120, "measured_on": 3000}
    topk = summary["corpora"]["topk on hier"]
    assert 0 < topk["recovery"]["value"] <= 64 / 96 and topk["l0"]["value"] <= 1.0 and topk["recovery"]["seeds"] == 3
    assert topk["alive"]["value"] + topk["dead"]["value"] == pytest.approx(64)
    assert {entry["metric"] for entry in summary["contrasts"]} == {"recovery", "fvu", "absorption"}
    assert all(entry["verdict"] == "exploratory" for entry in summary["contrasts"] if entry["metric"] == "absorption")
    of = {(one["metric"], one["corpus"], one["control"]): one for one in summary["beside"]}
    for metric in ("recovery", "fvu"):
        for truth, control in product(("hier", "ind"), (PERMUTED, UNTRAINED)):
            one, figures = of[metric, f"topk on {truth}", control], summary["corpora"][f"topk on {truth}"]
            assert one["trained"]["value"] == figures[metric]["value"]
            assert one["of_control"]["value"] == figures[f"{metric}:{control}"]["value"]
        oracle = of[metric, "topk on hier", ORACLE]
        assert oracle["of_control"]["value"] == (1 if metric == "recovery" else 0) and standing(oracle) == BELOW_TRUTH
    (table,) = control_tables(summary)
    assert table.header[3] == ORACLE and "§: the trained are better than the truth" in table.title
    assert undocumented("Study synthetic", names_of_study(done.folder)) == []
    table = pl.read_parquet(done.folder / "results.parquet").filter(metric="recovery", corpus="topk on ind")
    assert table.height == 6 and table["value"].mean() == pytest.approx(
        summary["corpora"]["topk on ind"]["recovery"]["value"]
    )


def test_again_with_workers_it_gives_the_same(small: SyntheticConfig, done: Done, tmp_path: Path) -> None:
    again = study_synthetic(small)
    assert again.summary == done.summary and again.reused == 12
    shared = study_synthetic(replace(small, out=tmp_path, truths=("ind",), workers=2))
    for name, figures in shared.summary["corpora"].items():
        assert figures == done.summary["corpora"][name]


def test_nothing_is_left_of_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="no truth 'tree'"):
        STUDY.run(SyntheticConfig(tmp_path / "out", truths=("tree",)), silent)
    assert not (tmp_path / "out").exists()


def test_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run; what it was told is kept; its report needs no corpora."""
    monkeypatch.chdir(tmp_path)
    words = "study synthetic --truth ind --variant topk --truth-seeds 0 --seeds 0,1 --planted none --steps 5 --batch 32"
    words += " --d-in 8 --tokens 200"
    first = CliRunner().invoke(app, words.split())
    assert first.exit_code == 0, first.output
    assert "What is found of ind: 1 truths × 2 init seeds" in first.stdout
    assert "faithful report runs/synthetic" in first.stderr
    elsewhere = CliRunner().invoke(app, [*words.split(), "--out", "other"])
    assert elsewhere.exit_code == 0 and "results.parquet: other" in elsewhere.stderr
    assert "Next:" not in elsewhere.stderr and not (tmp_path / "runs" / "other").exists()
    as_json = CliRunner().invoke(app, ["study", "synthetic", "--out", "other", "--json"])
    assert as_json.exit_code == 0 and json.loads(as_json.stdout)["sizes"]["saes"] == 2
    again = CliRunner().invoke(app, ["study", "synthetic", "--json"])
    assert again.exit_code == 0 and json.loads(again.stdout)["sizes"]["saes"] == 2
    assert not (tmp_path / "runs" / "current").exists()
    page = write_report(ReportConfig(Path("runs/synthetic"), markdown=True)).read_text(encoding="utf-8")
    for said in (STUDY.question, "What is found of ind", "faithful study synthetic --truth ind", "recovery.svg"):
        assert said in page, said
