"""The study as a whole, by a model that names the pieces that are marked and finds them again."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.stats import binomtest

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from studies.common.controls import PERMUTED, UNTRAINED
from studies.explanations.bench import SHUFFLED, TRAINED
from studies.explanations.config import STUDY, ExplanationsConfig
from studies.explanations.kept import EXPLANATIONS
from tests.studies.explanations.oracle import Server

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


def test_every_latent_has_its_explanation_and_its_score(explained: Explained) -> None:
    config, summary, _ = explained
    latents = pl.read_parquet(config.out / EXPLANATIONS)
    assert latents.group_by("corpus", "seed").len()["len"].to_list() == [6] * 6
    assert latents["explanation"].str.starts_with('["').all()
    rows = pl.read_parquet(config.out / "results.parquet")
    for (corpus, seed), of in latents.group_by("corpus", "seed"):
        mine = {row["metric"]: row for row in rows.filter(corpus=corpus, seed=seed).to_dicts()}
        count = int(of["explained"].sum())
        ends = binomtest(count, 6).proportion_ci(method="wilson")
        share = mine["explained"]
        assert (share["value"], share["low"], share["high"]) == pytest.approx((count / 6, ends.low, ends.high))
        assert mine["detection"]["value"] == pytest.approx(of["detection"].mean())
        assert mine["detection_shuffled"]["value"] == pytest.approx(of["detection_shuffled"].mean())
        assert 0 < mine["eligible"]["value"] <= 1
        assert {"explained_shuffled", "explained_untrained", "detection_untrained"} <= mine.keys()
    for corpus in ("own", "cool"):
        shares = rows.filter(corpus=corpus, metric="explained")["value"]
        assert summary["corpora"][corpus]["explained"]["value"] == pytest.approx(shares.mean())
        assert len(summary["detections"][corpus][TRAINED]) == 18
    (contrast,) = [one for one in summary["contrasts"] if one["headline"]]
    assert (contrast["a"], contrast["b"], contrast["metric"]) == ("own", "cool", "explained")


def test_controls_stand_beside(explained: Explained) -> None:
    _, summary, _ = explained
    assert {(one["corpus"], one["control"]) for one in summary["beside"]} == {
        (corpus, control) for corpus in ("own", "cool") for control in (SHUFFLED, UNTRAINED, PERMUTED)
    }
    assert {one["ahead"] for one in summary["beside"] if one["control"] == PERMUTED} == {0.0}
    assert {by: len(values) for by, values in summary["detections"]["own"].items()} == dict.fromkeys(
        (TRAINED, SHUFFLED, UNTRAINED), 18
    )


def test_where_the_explainer_is_stands_nowhere(explained: Explained, tmp_path: Path) -> None:
    """Folders are published."""
    config, _, _ = explained
    told = ExplanationsConfig(
        (config.saes[0],), tmp_path / "out", endpoint=config.endpoint, latents=6, shown=5, judged=6
    )
    shutil.copytree(config.out, told.out)
    found = STUDY.run(replace(told, tokens=3000, device="cpu"), silent).summary
    assert found["reused"] == 6
    texts = [path.read_bytes() for path in told.out.rglob("*") if path.is_file()]
    assert config.endpoint is not None
    assert texts and not any(config.endpoint.split("//")[1].encode() in text for text in texts)
    with pytest.raises(FaithfulError, match="A recipe names no endpoint"):
        STUDY.check(told)
    STUDY.check(replace(told, endpoint=None))
