"""Tables of the reconstruction study."""

from typing import Any

from studies.reconstruction.tables import METRICS, reconstruction_tables


def figure(value: float | None, half: float | None = None) -> dict[str, Any]:
    return {"value": value, "ci95": None if half is None or value is None else [value - half, value + half]}


def test_matrices_and_the_ladder_are_tables() -> None:
    matrix = {"own": {"own": figure(0.5, 0.25), "web": figure(0.75)}, "web": {"own": figure(None), "web": figure(1.0)}}
    ladder = {name: {k: {"ce_recovered": figure(float(k) / 8)} for k in ("4", "2")} for name in ("own", "web")}
    summary: Any = {"matrices": dict.fromkeys(METRICS, matrix), "reduced_k": ladder, "contrasts": []}
    *matrices, reduced = reconstruction_tables(summary)
    assert [table.title.partition(":")[0] for table in matrices] == list(METRICS)
    assert matrices[0].header == ("trained on", "own", "web")
    assert matrices[0].rows == [("own", "0.5000\u00a0±\u00a00.2500", "0.7500"), ("web", "–", "1.0000")]
    assert reduced.header == ("trained on", "k 4", "k 2") and reduced.rows[0] == ("own", "0.5000", "0.2500")
