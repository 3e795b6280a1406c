"""Variants against TopK, from SAEs that were trained and tables that the run's other studies wrote."""

import os
from pathlib import Path

from faithful.store.places import corpora_in
from faithful.training.config import TrainConfig
from faithful.training.train import train
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from studies.seeds.config import SeedsConfig
from studies.seeds.study import study_seeds
from studies.variants.config import STUDY
from tests.studies.variants.known import studied

SEEDS = (0, 1, 2)


def test_tables_of_the_real_studies_are_read(run: Path, tmp_path: Path) -> None:
    saes, studies = tmp_path / "saes", tmp_path / "studies"
    train(
        TrainConfig(
            tuple(corpora_in(run)), saes, seeds=SEEDS, variant=("topk", "correlation"), layer=1, d_sae=(32,), k=(4,), lr=3e-3,
            tokens=3500, context=32, batch=256, device="cpu", eval_tokens=500,
        )
    )  # fmt: skip
    study_reconstruction(ReconstructionConfig((saes,), studies / "reconstruction", tokens=300, device="cpu", ks=(1, 4)))
    study_seeds(SeedsConfig((saes,), studies / "seeds", tokens=300, device="cpu", gaussian_seeds=0, examples=0))
    done = studied(tmp_path)
    assert done.summary["left_out"] == {"fakes": "missing", "probes": "missing"} and done.summary["own"] == "own"
    assert list(done.summary["corpora"]) == ["topk", "correlation"]
    for figures in done.summary["corpora"].values():
        assert figures.keys() == {"fvu", "alive_share", "l0", "shared_feature_ratio", "ce_recovered"}
        assert all(one["seeds"] == len(SEEDS) and one["value"] is not None for one in figures.values())
    assert STUDY.tables(done.summary)[0].header == (
        "variant",
        "fvu",
        "alive_share",
        "shared_feature_ratio",
        "ce_recovered",
        "l0",
    )
    later = next(saes.rglob("cfg.json"))
    os.utime(later, ns=(later.stat().st_atime_ns, (studies / "seeds" / "results.parquet").stat().st_mtime_ns + 1))
    assert studied(tmp_path).summary["left_out"]["seeds"] == "outdated"
