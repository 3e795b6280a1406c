"""A run whose other studies' tables are written by hand."""

from pathlib import Path
from typing import Any

import pytest

from studies.common.results import Done, Row
from tests.studies.variants.known import NOISE, SEEDS, SETTINGS, SHAPES, studied, table, written


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """Two corpora; on each TopK, a variant that is better and a frozen control; studies of all but fakes."""
    rows: dict[str, list[Row]] = {"seeds": [], "probes": [], "reconstruction": []}
    for corpus in ("own", "web"):
        for place, (name, shape) in enumerate(zip(SETTINGS, SHAPES.values(), strict=True)):
            for seed in SEEDS:
                written(tmp_path, corpus, name, seed, 0.2 - 0.03 * (place == 1) + 0.4 * (place == 2))
                base: dict[str, Any] = {"seed": seed, "shape": shape}
                for task, accuracy in (("a", 0.8), ("b", 0.6), ("solved", 1.0)):
                    for size, less in ((10.0, 0.3), (100.0, 0.0)):
                        value = accuracy - less + NOISE[seed] * (1 + place) / 10
                        rows["probes"].append(Row("probes", corpus, f"accuracy:{task}:f", value, size, **base))
                    rows["probes"].append(Row("probes", corpus, f"k_sparse_accuracy:{task}:f", 0.1, 1.0, **base))
                for k in (1.0, 2.0, 4.0):
                    value = 0.9 + 0.02 * place * k / 4 + NOISE[seed] / 7
                    rows["reconstruction"].append(
                        Row("reconstruction", corpus, "ce_recovered", value, k, other="panel", **base)
                    )
                    rows["reconstruction"].append(
                        Row("reconstruction", corpus, "ce_recovered", 0.1, k, other="own", **base)
                    )
                for other in range(seed):
                    value = 0.5 + (NOISE[seed] + NOISE[other]) * (1 + place)
                    pair: dict[str, Any] = {"seed": other, "other_seed": seed, "shape": shape}
                    rows["seeds"].append(Row("seeds", corpus, "shared_feature_ratio", value, **pair))
                    rows["seeds"].append(Row("seeds", corpus, "shared_feature_ratio", 0.1, other="web", **pair))
    for study, of in rows.items():
        said = {"unmarked": ["a", "b"]} if study == "probes" else {}
        table(tmp_path, study, of, **said)
    return tmp_path


@pytest.fixture
def done(by_hand: Path) -> Done:
    """The study of it."""
    return studied(by_hand)
