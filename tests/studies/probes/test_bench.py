"""What workers probe with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from faithful.store.saes import find_saes
from studies.common.config import StudyConfig
from studies.common.controls import UNTRAINED
from studies.common.inputs import resolve_input
from studies.probes.bench import Bench
from studies.probes.config import ProbesConfig
from studies.probes.features import pool_batch, with_bos
from studies.probes.study import study_probes
from studies.statistics.stable import write_reappearance
from tests.documented import names_of_study, undocumented
from tests.studies.probes.data import write_csv


def test_bos_among_the_tokens_of_a_mean(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    bench = Bench(found, found.saes, None, {}, {}, "mean")
    (sae,) = bench.load([0])
    rng, bos = np.random.default_rng(0), found.spec.bos_id
    ids = np.flatnonzero(bench.ordinary)
    rows = [np.concatenate([[bos], rng.choice(ids, size)]) for size in (3, 9)]
    h, (codes,), _ = pool_batch(found.truncated, [sae], rows, bench.ordinary, "mean")
    counts = np.array([3, 9])
    for at, row in enumerate(rows):
        of_row = found.truncated(torch.from_numpy(row)[None])[0]
        assert np.allclose(with_bos(h, bench.of_bos(None), counts)[at], of_row.mean(0), atol=1e-5)
        wanted = sae.encode(of_row).mean(0).detach()
        dense = codes.toarray() if hasattr(codes, "toarray") else codes
        for x in (codes, dense):
            mixed = with_bos(x, bench.of_bos(0), counts)
            mixed = mixed.toarray() if hasattr(mixed, "toarray") else mixed
            assert np.allclose(mixed[at], wanted, atol=1e-5)


def test_untrained_starts_stand_beside_the_trained(run: Path, tmp_path: Path) -> None:
    rows = [{"text": f"{'one thing' if at % 2 else 'another'} {at % 7} {at}", "label": at % 2} for at in range(160)]
    path = write_csv(tmp_path / "texts.csv", rows)
    config = ProbesConfig(
        (run / "saes",), tmp_path / "out", tasks=(f"{path}:text:label",), train_size=60, test_size=40, curve_points=1,
        ks=(1,), tokens=400, device="cpu", controls=2,
    )  # fmt: skip
    saes = find_saes([run / "saes"])
    (tmp_path / "seeds").mkdir()
    write_reappearance(
        tmp_path / "seeds", {sae.sha256: np.repeat([1.0, 0.5], 48) for sae in saes if sae.corpus == "own"}
    )
    done = study_probes(config)
    whole = pl.read_parquet(done.folder / "results.parquet")
    of = whole.filter(pl.col("metric") == "stable_weight:texts")
    assert set(of["corpus"]) == {"own"} and sorted(of["seed"]) == [0, 1, 2] and of["value"].is_between(0, 1).all()
    if done.summary["unmarked"]:
        assert done.summary["corpora"]["own"]["stable_weight"]["value"] == pytest.approx(of["value"].mean())
    assert done.summary["corpora"]["own"]["stable_weight_chance"]["value"] == 0.5
    assert "stable_weight" not in done.summary["corpora"]["cool"]
    table = whole.filter(pl.col("metric") == "accuracy:texts:start")
    assert sorted(zip(table["corpus"], table["seed"], strict=True)) == [
        (name, at) for name in ("cool", "own") for at in (0, 1)
    ]
    if done.summary["unmarked"]:
        assert {(one["corpus"], one["control"]) for one in done.summary["beside"]} == {
            (name, UNTRAINED) for name in ("own", "cool")
        }
    assert undocumented("Study probes", names_of_study(done.folder)) == []
    again = study_probes(replace(config, controls=0))
    assert again.summary["beside"] == [] and again.reused == 7
    assert again.summary["corpora"] == done.summary["corpora"] and again.summary["tasks"] == done.summary["tasks"]
