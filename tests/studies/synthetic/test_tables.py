"""Its tables."""

from studies.common.results import Done
from studies.synthetic.config import STUDY
from studies.synthetic.tables import ABSORBED, synthetic_tables


def test_a_line_for_every_variant(done: Done) -> None:
    tables = {table.title: table for table in synthetic_tables(done.summary)}
    found = tables["What is found of hier: 3 truths × 2 init seeds, ± 95 %"]
    assert [row[0] for row in found.rows] == ["topk", "topk-d_sae40-k2"]
    assert found.header[:3] == ("variant", "fvu", "L0") and "±" in found.rows[0][1]
    assert not any(
        "bsorption" in head
        for head in tables["Absorption and agreement on ind: 3 truths × 2 init seeds, ± 95 %"].header
    )
    contrast = tables["recovery: contrasts with topk"]
    assert [row[0] for row in contrast.rows] == ["topk-d_sae40-k2 on hier", "topk-d_sae40-k2 on ind"]
    assert "All figures of hier besides" not in {table.title for table in STUDY.tables(done.summary, full=False)}


def test_a_table_without_figures_is_left_out(done: Done) -> None:
    """Of one init seed nothing is known of agreement, and `ind` has no parents that could be absorbed."""
    corpora = {
        name: {metric: found for metric, found in of.items() if metric not in ABSORBED}
        for name, of in done.summary["corpora"].items()
    }
    titles = [table.title for table in synthetic_tables({**done.summary, "corpora": corpora})]  # type: ignore[typeddict-item]
    assert "What is found of ind: 3 truths × 2 init seeds, ± 95 %" in titles
    assert not any(title.startswith("Absorption and agreement") for title in titles)
