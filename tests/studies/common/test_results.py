import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.common.results import FORMAT, Row, Summary, read_summary, write_results


def test_both_files_come_back(tmp_path: Path) -> None:
    summary: Summary = {"study": "seeds", "seed": 0, "contrasts": [], "corpora": {"own": {"pw_mcc": 0.5}}}
    write_results(
        tmp_path, summary, [Row("seeds", "own", "pw_mcc", None, low=0.1), Row("seeds", "own", "m", 1, seed=3)]
    )
    assert read_summary(tmp_path / "summary.json") == summary
    assert json.loads((tmp_path / "summary.json").read_text())["format"] == FORMAT
    table = pl.read_parquet(tmp_path / "results.parquet")
    assert table["value"].to_list() == [None, 1.0] and table["seed"].to_list() == [None, 3]
    assert table.schema["value"] == pl.Float64 and table.schema["other"] == pl.String


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"contrasts": [{"a": 3}]}, r"contrasts\[0\]\.a"),
        ({"contrasts": {}}, "contrasts"),
        ({"examples": [{"rows": [{"tokens": "a"}]}]}, r"rows\[0\]\.tokens"),
        ({"texts": {"matched": "own"}}, "texts.matched"),
        ({"seed": -1}, "seed"),
        ({"format": "two"}, "format"),
        ({"format": -1}, "format"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"study": "seeds", "contrasts": []} | changed), encoding="utf-8")
    with pytest.raises(FaithfulError, match=f"{said}.*delete it and run the study again"):
        read_summary(path)


@pytest.mark.parametrize("stated", [{}, {"format": 1}, {"format": FORMAT}])
def test_a_summary_of_an_earlier_form_or_of_before_they_were_numbered_is_read(
    tmp_path: Path, stated: dict[str, Any]
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"study": "seeds", "contrasts": []} | stated), encoding="utf-8")
    assert read_summary(path) == {"study": "seeds", "contrasts": []}


def test_a_summary_of_a_later_form_is_refused_before_its_shape_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"format": FORMAT + 1, "contrasts": "elsewhere"}), encoding="utf-8")
    with pytest.raises(FaithfulError, match=f"has format {FORMAT + 1}.* reads {FORMAT} .*update faithful"):
        read_summary(path)
