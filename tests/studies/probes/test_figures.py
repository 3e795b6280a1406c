"""The figures of a study of probes, from a summary as the study writes it."""

from pathlib import Path

from studies.probes.figures import draw
from tests.studies.probes.data import summary_of_probes


def test_every_task_and_corpus_is_drawn(tmp_path: Path) -> None:
    draw(summary_of_probes(), tmp_path)
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    assert set(drawn) == {"forest", "learning_curves", "k_sparse"}
    for text in drawn.values():
        assert "hard" in text and "own" in text and "web" in text
    assert "words alone" in drawn["learning_curves"] and "words" in drawn["forest"]
    assert "easy (ceiling)" in drawn["forest"] and "hard (ceiling)" not in drawn["forest"]
    assert "training examples" in drawn["learning_curves"] and "features used" in drawn["k_sparse"]


def test_curves_of_one_point_and_no_k_are_not_drawn(tmp_path: Path) -> None:
    summary = summary_of_probes()
    for found in summary["by_task"].values():
        for of_corpus in found.values():
            of_corpus["k_sparse"] = []
            for input_ in ("f", "h_hat"):
                of_corpus[input_] = {metric: points[-1:] for metric, points in of_corpus[input_].items()}
    draw(summary, tmp_path)
    assert [path.name for path in tmp_path.glob("*.svg")] == ["forest.svg"]


def test_a_figure_without_a_value_or_an_interval_is_left_out_of_the_forest(tmp_path: Path) -> None:
    summary = summary_of_probes()
    draw(summary, tmp_path / "whole")
    summary["by_task"]["hard"]["web"]["f"]["accuracy"][-1] |= {"value": None, "ci95": None}
    summary["by_task"]["hard"]["own"]["f"]["accuracy"][-1] |= {"ci95": None}
    draw(summary, tmp_path / "less")
    whole, less = ((tmp_path / name / "forest.svg").read_text(encoding="utf-8") for name in ("whole", "less"))
    assert less.count("<use") < whole.count("<use")
