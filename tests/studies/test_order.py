"""Every headline on planted truth: the truth itself is ahead of trained SAEs, and no control is ahead of these.

The studies run as they are, on a model whose activations are known sums of features. What a permuted decoder ties with by
construction (it has the same codes, or the same rows in another order) must be marked as no measure of quality.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from studies.catalog import KNOWN
from studies.common.controls import PERMUTED
from studies.common.results import Summary
from studies.explanations.config import ExplanationsConfig
from studies.explanations.study import study_explanations
from studies.fakes.config import FOREIGN, FakesConfig
from studies.fakes.study import study_fakes
from studies.probes.config import ProbesConfig
from studies.probes.study import study_probes
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from studies.seeds.config import SeedsConfig
from studies.seeds.study import study_seeds
from studies.statistics.sentences import AS_GOOD, BEHIND, ORACLE, standing
from studies.synthetic.config import JUDGED
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.study import study_unlearning
from studies.variants.config import MEASURED, WITHOUT_VERDICT
from tests.studies.explanations.oracle import Server, serving
from tests.studies.planted_run import TOPICS, PlantedRun, write_planted_run

APART = {"ce_recovered": "reconstruction", "fvu": "reconstruction", "unlearned": "unlearning"}
"""Headlines, with their studies, by which trained SAEs are ahead of permuted decoders."""
TIED = {"shared_feature_ratio": "seeds", "accuracy": "probes"}
"""Those that codes alone, or rows in any order, decide."""
ALIVE = "alive_share"
"""Of codes alone too; no study holds it against controls."""
NO_QUALITY = {"fake_contrast", FOREIGN.metric}
"""Those that say of a text what it lacks: the truth has fake features where it lacks some."""
OF_WORDS = "explained"
"""Of codes alone too, and of what is easily said: a latent that fires on one word is explained more often than a true feature
of several."""
ON_SYNTHETIC_TRUTH = {one.metric for one in JUDGED}
"""tests/studies/synthetic/test_evaluate.py holds their order."""


def test_every_headline_is_looked_at() -> None:
    named = {study.headline.metric for study in KNOWN.values() if study.headline is not None}
    named |= {FOREIGN.metric, *MEASURED} - {*WITHOUT_VERDICT}
    named |= {one.metric for one in JUDGED}
    assert named == {*APART, *TIED, ALIVE, OF_WORDS} | NO_QUALITY | ON_SYNTHETIC_TRUTH


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, family_folder: Callable[[str], Path]) -> PlantedRun:
    return write_planted_run(tmp_path_factory.mktemp("planted") / "run", family_folder("gpt2"), 6000, epochs=6)


@pytest.fixture(scope="module")
def studied(planted: PlantedRun) -> dict[str, Summary]:
    """The summaries of the studies by name."""
    folder = planted.folder
    corpora = {"unlearning": ("secret", "known"), "fakes": ("known",)}

    def told(name: str) -> dict[str, Any]:
        return {
            "saes": (folder / "saes",), "out": folder / "studies" / name, "device": "cpu", "tokens": 1500,
            "corpora": tuple(folder / "corpora" / one for one in corpora.get(name, ("own",))),
        }  # fmt: skip

    sizes: dict[str, Any] = {"train_size": 48, "test_size": 80, "curve_points": 1, "ks": (1,)}
    tasks = tuple(f"{folder / f'topic{topic}.csv'}:text:label" for topic in TOPICS)
    asked: dict[str, Any] = {
        "forget": "secret", "retain": "known", "forget_questions": str(folder / "secret.jsonl"),
        "retain_questions": str(folder / "known.jsonl"), "latents": (1, 4, 16),
    }  # fmt: skip
    with planted.oracles(), serving(Server()) as server:
        done = [
            study_explanations(ExplanationsConfig(**told("explanations"), endpoint=server.address)),
            study_reconstruction(ReconstructionConfig(**told("reconstruction"), ks=(1,))),
            study_seeds(SeedsConfig(**told("seeds"), gaussian_seeds=0, examples=0)),
            study_fakes(FakesConfig(**told("fakes"), noise_tokens=2000, examples=0)),
            study_probes(ProbesConfig(**told("probes"), tasks=tasks, **sizes)),
            study_unlearning(UnlearningConfig(**told("unlearning"), **asked)),
        ]
    return {one.summary["study"]: one.summary for one in done}


@pytest.mark.slow
@pytest.mark.parametrize("metric", [*APART, *TIED])
def test_the_truth_is_ahead_of_trained_saes_and_these_of_permuted_decoders_or_tied(
    metric: str, studied: dict[str, Summary]
) -> None:
    of = {
        (one["corpus"], one["control"]): one
        for one in studied[(APART | TIED)[metric]]["beside"]
        if one["metric"] == metric
    }
    own, oracle = of["own", PERMUTED], of[ORACLE, PERMUTED]
    sign = -1 if metric == "fvu" else 1
    truth, trained, permuted = (sign * one["value"] for one in (oracle["trained"], own["trained"], own["of_control"]))
    assert truth > trained
    assert standing(own) == (AS_GOOD if metric in TIED else BEHIND)
    assert trained == permuted if metric in TIED else trained > permuted


@pytest.mark.slow
def test_all_latents_of_the_truth_are_alive(studied: dict[str, Summary], planted: PlantedRun) -> None:
    table = pl.read_parquet(planted.folder / "studies" / "reconstruction" / "results.parquet")
    silent = table.filter((pl.col("metric") == "never_fired") & (pl.col("other") == "panel"))
    of = {name: silent.filter(corpus=name)["value"] for name in ("own", ORACLE)}
    assert of[ORACLE].max() < of["own"].min()


@pytest.mark.slow
def test_the_truth_has_fake_features_where_the_text_lacks_some(studied: dict[str, Summary]) -> None:
    of = {(one["corpus"], one["control"]): one for one in studied["fakes"]["beside"]}
    assert of[ORACLE, PERMUTED]["trained"]["value"] > 0
    assert standing(of["own", PERMUTED]) == AS_GOOD


@pytest.mark.slow
def test_latents_of_one_word_are_explained_more_often_than_true_features_of_several(
    studied: dict[str, Summary],
) -> None:
    """By a program that names the words that it is shown: what the figure says is not how true a latent is."""
    of = {
        (one["corpus"], one["control"]): one for one in studied["explanations"]["beside"] if one["metric"] == OF_WORDS
    }
    assert of["own", PERMUTED]["trained"]["value"] > of[ORACLE, PERMUTED]["trained"]["value"]
    assert standing(of["own", PERMUTED]) == AS_GOOD
