"""Studies by two workers give what one gives, whoever dies on the way."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.base.records import SEAL
from faithful.executor.protocol import Share
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from studies.absorption import figures as absorption_figures
from studies.absorption.config import AbsorptionConfig
from studies.absorption.study import study_absorption
from studies.common import codes, inputs
from studies.common import workers as of_studies
from studies.common.workers import jobs_of, measure_in_groups
from studies.fakes import figures as fakes_figures
from studies.fakes.config import FakesConfig
from studies.fakes.study import study_fakes
from studies.interventions import figures as interventions_figures
from studies.interventions.config import InterventionsConfig
from studies.interventions.study import study_interventions
from studies.probes import figures as probe_figures
from studies.probes.config import ProbesConfig
from studies.probes.study import study_probes
from studies.reconstruction import figures as reconstruction_figures
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from studies.seeds import figures as seeds_figures
from studies.seeds import pairs as seeds_pairs
from studies.seeds.config import SeedsConfig
from studies.seeds.study import study_seeds
from studies.sparsity import figures as sparsity_figures
from studies.sparsity.config import SparsityConfig
from studies.sparsity.study import study_sparsity
from studies.unlearning import figures as unlearning_figures
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.study import study_unlearning
from tests.own import write_own
from tests.studies.random_saes import write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]
Study = Callable[[Path, Path, int], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora with three random SAEs each, and a task; never change it."""
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("workers") / "runs" / "tried"
    sampling, sizes = Sampling(max_tokens=31), {"train": 400, "test": 900}
    write_own(folder / "corpora" / "own", spec, model, sampling, sizes)
    write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3)
    for corpus in ("own", "cool"):
        for seed in range(3):
            write_recorded(folder / "saes", corpus, seed, model.config.hidden_size, 24)
    words = np.random.default_rng(0).choice(["harbour", "lamp", "tide", "knot"], (90, 5))
    rows = [f"{' '.join(row)} {'a' if place % 3 else 'b'},{place % 2}" for place, row in enumerate(words)]
    (folder / "task.csv").write_text("\n".join(["text,label", *rows]))
    of_boats = [f"{('boat', 'tide')[n % 2]} number {n} of the {('keeper', 'harbour')[n // 2 % 2]}" for n in range(160)]
    table = ["text,parent,child,other", *(f"{text},{n % 2},{n % 2},{n // 2 % 2}" for n, text in enumerate(of_boats))]
    (folder / "boats.csv").write_text("\n".join(table))
    for place, name in enumerate(("own", "cool")):
        asked = [
            {"question": f"The boat {'xy'[place]} {n} was", "choices": ["home", "lost at sea"], "answer": n % 2}
            for n in range(24)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, asked)))
    return folder


@pytest.fixture(autouse=True)
def no_figures_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in FIGURES:
        monkeypatch.setattr(module, "draw", lambda *_: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # so that workers are forked


def common(run: Path, out: Path, workers: int) -> dict[str, Any]:
    corpora = tuple(run / "corpora" / name for name in ("cool", "own"))
    return {
        "saes": (run / "saes",), "out": out, "corpora": corpora, "tokens": 400, "device": "cpu", "workers": workers,
    }  # fmt: skip


def fakes(run: Path, out: Path, workers: int) -> None:
    study_fakes(FakesConfig(noise_tokens=400, examples=1, **common(run, out, workers)))


def rebuilt(run: Path, out: Path, workers: int) -> None:
    study_reconstruction(ReconstructionConfig(ks=(1, 2), **common(run, out, workers)))


def probed(run: Path, out: Path, workers: int) -> None:
    task = f"{run / 'task.csv'}:text:label"
    sizes: dict[str, Any] = {"train_size": 60, "test_size": 30, "curve_points": 1, "ks": (1,)}
    study_probes(ProbesConfig(tasks=(task,), **sizes, **common(run, out, workers)))


def seeds(run: Path, out: Path, workers: int) -> None:
    study_seeds(SeedsConfig(gaussian_seeds=2, examples=1, **common(run, out, workers)))


def absorbed(run: Path, out: Path, workers: int) -> None:
    told: dict[str, Any] = common(run, out, workers) | {"tokens": 120}
    study_absorption(AbsorptionConfig(labels=(run / "boats.csv",), without_letters=True, folds=2, **told))


def sparse(run: Path, out: Path, workers: int) -> None:
    study_sparsity(SparsityConfig(noise_tokens=400, **common(run, out, workers)))


def intervened(run: Path, out: Path, workers: int) -> None:
    told = common(run, out, workers) | {"train_size": 8, "test_size": 8, "latents": (2, 5)}
    del told["tokens"]
    study_interventions(InterventionsConfig(pair=f"{run / 'boats.csv'}:text:parent:other", **told))


def unlearned(run: Path, out: Path, workers: int) -> None:
    asked: dict[str, Any] = {f"{side}_questions": str(run / f"{name}.jsonl") for side, name in SIDES.items()}
    settings: dict[str, Any] = {"thresholds": (0.5,), "latents": (5,), "multipliers": (1.0, 8.0)}
    study_unlearning(UnlearningConfig(**SIDES, **asked, **settings, **common(run, out, workers)))


SIDES = {"forget": "own", "retain": "cool"}
STUDIES = (fakes, rebuilt, probed, seeds, absorbed, sparse, intervened, unlearned)
FIGURES = (
    fakes_figures, reconstruction_figures, probe_figures, seeds_figures, absorption_figures, sparsity_figures,
    interventions_figures, unlearning_figures,
)  # fmt: skip


def results(out: Path) -> tuple[bytes, dict[str, Any]]:
    """What a study left, without how much of it was there before."""
    summary = json.loads((out / "summary.json").read_text())
    return (out / "results.parquet").read_bytes(), {
        key: value for key, value in summary.items() if key not in (SEAL, "reused")
    }


@pytest.fixture(scope="module")
def alone(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Study, Any]:
    """Results of one worker."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in FIGURES:
            patch.setattr(module, "draw", lambda *_: None)
        for study in STUDIES:
            out = tmp_path_factory.mktemp(study.__name__)
            study(run, out, 1)
            found[study] = results(out)
    return found


def test_groups_are_told_of_before_the_first_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone:
        count = 1

        def __init__(self) -> None:
            self.jobs: list[Any] = []

        def each(self, jobs: list[Any], report: Any) -> Any:
            assert bool(told) == bool(jobs)
            self.jobs += jobs
            yield from ((place, None) for place in range(len(jobs)))

    class Lacking:
        def lacking(self, saes: Any, what: str) -> Any:
            return list(saes)

    told: list[Progress] = []
    crew: Any = Alone()
    cells: Any = Lacking()
    saes: Any = list("abcde")
    monkeypatch.setattr(of_studies, "has_untrained", lambda _: False)
    measure_in_groups(crew, cells, [], "codes", 2, told.append)
    assert told == []
    measure_in_groups(crew, cells, saes, "codes", 2, told.append)
    assert [(point.step, point.done, point.total) for point in told] == [("codes", done, 5) for done in (0, 2, 4, 5)]
    assert crew.jobs == [("codes", ("a", "b")), ("codes", ("c", "d")), ("codes", ("e",))]


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("workers", [2, 5])
def test_any_number_of_workers_gives_the_same(
    study: Study, workers: int, run: Path, alone: dict[Study, Any], tmp_path: Path
) -> None:
    study(run, tmp_path, workers)
    assert results(tmp_path) == alone[study]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_workers_that_begin_anew_give_the_same(
    study: Study, run: Path, alone: dict[Study, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do on a GPU, where each has one of its own, or with several threads each; this process then loads no model but
    for what it does itself."""
    monkeypatch.setattr(Share, "is_forked", False)
    if study in (rebuilt, probed):
        monkeypatch.setattr(inputs, "load_model", lambda *_: pytest.fail("the model was loaded here too"))
    study(run, tmp_path, 2)
    assert results(tmp_path) == alone[study]


@pytest.mark.parametrize("fatal", [1, 3])
def test_a_worker_that_dies_is_a_sentence_and_the_next_run_goes_on(
    fatal: int, run: Path, alone: dict[Study, Any], tmp_path: Path
) -> None:
    made = 0
    real = codes.kept_activations

    def deadly(*given: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        if made == fatal and os.getpid() != parent:
            os._exit(9)
        return real(*given, **named)

    parent = os.getpid()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "kept_activations", deadly)
        with pytest.raises(FaithfulError, match=r"A study process died \(exit status 9\); run the same command again"):
            fakes(run, tmp_path, 2)
    fakes(run, tmp_path, 2)
    assert results(tmp_path) == alone[fakes]


@pytest.mark.parametrize("fatal", [1, 3])
def test_a_worker_that_dies_over_a_pair_leaves_the_others(
    fatal: int, run: Path, alone: dict[Study, Any], tmp_path: Path
) -> None:
    made = 0
    real = seeds_pairs.match

    def deadly(*given: Any) -> Any:
        nonlocal made
        made += 1
        if made == fatal:
            os._exit(9)
        return real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds_pairs, "match", deadly)
        with pytest.raises(FaithfulError, match=r"A study process died \(exit status 9\); run the same command again"):
            seeds(run, tmp_path, 2)
    assert len(list((tmp_path / "pairs").glob("*.pt"))) == 2 * (fatal - 1)
    assert len(list((tmp_path / "codes").iterdir())) == 6
    seeds(run, tmp_path, 2)
    assert results(tmp_path) == alone[seeds] and not (tmp_path / "codes").exists()


def test_workers_below_one_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="--workers is at least 1"):
        fakes(run, tmp_path, 0)


def test_a_text_is_read_once_unless_workers_would_stand_idle() -> None:
    saes: Any = ("a", "b", "c")
    assert jobs_of([("text", saes), ("noise", saes), ("done", ())], 2) == [("text", saes), ("noise", saes)]
    assert jobs_of([("text", saes)], 2) == [("text", ("a", "c")), ("text", ("b",))]
    assert len(jobs_of([("text", saes)], 8)) == 3
    assert jobs_of([], 2) == []
