"""What the report says first, against the rows that every study leaves: each contrast from `results.parquet` again."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.progress import silent
from studies.catalog import STUDIES
from studies.common.results import Summary
from studies.report.answer import forest_lines
from studies.report.found import read_run
from studies.statistics.headlines import FOREIGN, MATCHED
from tests.studies.probes.data import write_csv

TOLD: dict[str, dict[str, Any]] = {
    "seeds": {"tokens": 400, "gaussian_seeds": 0},
    "fakes": {"tokens": 400, "noise_tokens": 600},
    "probes": {"tokens": 400, "train_size": 40, "test_size": 20, "ks": (), "curve_points": 2},
    "reconstruction": {"tokens": 400},
}


def mean_of(rows: pl.DataFrame, study: str, summary: Summary, corpus: str, text: str | None) -> float:
    """A corpus' headline figure: the mean of its rows, where it is of texts or tasks that of their means."""
    headline = STUDIES[study].headline
    assert headline is not None
    of = rows.filter(pl.col("corpus") == corpus, pl.col("shape") == summary["shape"])
    if study == "probes":
        names = [f"accuracy:{task}:f" for task in dict(summary)["unmarked"]]
        largest = of.filter(pl.col("metric").is_in(names)).filter(pl.col("parameter") == pl.col("parameter").max())
        return float(largest.group_by("metric").agg(pl.mean("value"))["value"].mean())  # type: ignore[arg-type]
    of = of.filter(pl.col("metric") == headline.metric)
    if study == "seeds":
        return float(of.filter(pl.col("other").is_null())["value"].mean())  # type: ignore[arg-type]
    of = of.filter(pl.col("other").is_in(summary["texts"][str(text)]))
    k = int(summary["shape"].rpartition("k")[2])
    of = of.filter(pl.col("parameter").is_null() | (pl.col("parameter") == k))
    return float(of.group_by("other").agg(pl.mean("value"))["value"].mean())  # type: ignore[arg-type]


def check(folder: Path) -> dict[str, int]:
    """How many contrasts of each study are what the rows give; all of the first picture's are looked at."""
    found, told = read_run(folder), dict[str, int]()
    for line in forest_lines(found):
        study = found.studies[line.study]
        rows = pl.read_parquet(study.folder / "results.parquet")
        a, b = (
            mean_of(rows, line.study, study.summary, line.entry[side], line.entry.get("text")) for side in ("a", "b")
        )
        assert line.entry["difference"] == pytest.approx(a - b, abs=1e-9), (line.study, line.entry["b"])
        told[line.study] = told.get(line.study, 0) + 1
    return told


def test_every_difference_of_the_first_picture_is_that_of_the_rows(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "tried"
    folder.mkdir(parents=True)
    for name in ("corpora", "saes"):
        (folder / name).symlink_to(run / name)
    texts = [
        {"text": f"{'apple' if i % 2 else 'stone'} {i} and so on", "label": i % 2 ^ (i % 5 == 0)} for i in range(200)
    ]
    table = write_csv(tmp_path / "fruit.csv", texts)
    for name, settings in TOLD.items():
        study = STUDIES[name]
        settings = settings | ({"tasks": (f"{table}:text:label",)} if name == "probes" else {})
        study.run(
            study.config(saes=(folder / "saes",), out=folder / "studies" / name, device="cpu", **settings), silent
        )
    assert {MATCHED, FOREIGN} == {
        line.entry["text"] for line in forest_lines(read_run(folder)) if line.entry.get("text")
    }
    assert check(folder) == {"seeds": 1, "fakes": 2, "probes": 1, "reconstruction": 2}
