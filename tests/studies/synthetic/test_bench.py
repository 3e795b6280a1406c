"""Trainings that are done once, whatever they are done beside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, silent
from faithful.sae.stack import Stack
from studies.common.results import Done
from studies.statistics.sentences import ORACLE
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import HIGHER, SyntheticConfig
from studies.synthetic.plan import arms_of


def jobs_of(config: SyntheticConfig) -> list[Job]:
    return [Job("hier", seed, arm) for seed in config.truth_seeds for arm in arms_of(config)]


def test_a_killed_study_goes_on(
    small: SyntheticConfig, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops in the second job; the first is kept, and what comes of the rest is what came of all at once."""
    config = replace(small, out=tmp_path)
    bench, jobs, told = Bench(config), jobs_of(config)[:2], []

    def stop(point: Progress) -> None:
        told.append(point.step)
        if "d_sae" in point.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(jobs, stop)
    assert told == ["hier 0, topk: training", "hier 0, topk-d_sae40-k2: training"]
    assert bench.run(jobs, silent) == 1
    monkeypatch.setattr(Bench, "work", None)
    assert bench.run(jobs, silent) == 2
    whole = Bench(small)
    for job in jobs:
        assert bench.pair(job, 0, 1) == whole.pair(job, 0, 1)
        assert [bench.figures(job, seed) for seed in (0, 1)] == [whole.figures(job, seed) for seed in (0, 1)]


def test_a_further_seed_trains_alone(small: SyntheticConfig, done: Done, tmp_path: Path) -> None:
    config = replace(small, out=tmp_path, seeds=(1,))
    job = jobs_of(config)[0]
    Bench(config).run([job], silent)
    cells = sorted(path.name for path in (tmp_path / "cells").iterdir())
    more = Bench(replace(config, seeds=(1, 0)))
    more.run([job], silent)
    assert set(cells) < {path.name for path in (tmp_path / "cells").iterdir()}
    assert more.figures(job, 0) == Bench(small).figures(job, 0)


@pytest.mark.parametrize(
    "changed", [{"steps": 39}, {"batch": 64}, {"lr": 0.001}, {"tokens": 2000}, {"d_sae": 48}, {"k": 3}]
)
def test_whatever_decides_a_result_is_in_its_name(small: SyntheticConfig, done: Done, changed: dict[str, int]) -> None:
    config = replace(small, **changed)
    assert Bench(config)._missing(Job("hier", 0, arms_of(config)[0])) == (0, 1)
    assert Bench(small)._missing(Job("hier", 0, arms_of(small)[0])) == ()


def test_pairs_are_kept_whatever_order_their_seeds_are_stated_in(small: SyntheticConfig, done: Done) -> None:
    job = jobs_of(small)[0]
    turned = Bench(replace(small, seeds=(1, 0)))
    assert turned._has_pairs(job) and turned.pairs == [(0, 1)] and turned.pair(job, 1, 0) == turned.pair(job, 0, 1)


def test_nothing_is_drawn_where_pairs_alone_are_missing(
    small: SyntheticConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(small, out=tmp_path, steps=3)
    job = jobs_of(config)[0]
    for seeds in ((0,), (1,)):
        Bench(replace(config, seeds=seeds)).work(job, silent)
    monkeypatch.setattr(Bench, "hold", None)
    bench = Bench(config)
    bench.work(job, silent)
    assert bench._has_pairs(job)


def test_what_was_kept_before_there_was_an_oracle_is_not_trained_again(
    small: SyntheticConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(small, out=tmp_path, steps=3)
    job, bench = jobs_of(config)[0], Bench(config)
    bench.run([job], silent)
    before = bench.figures(job, 0)
    bench.cache._path(bench._oracle_key(job), ".json").unlink()
    monkeypatch.setattr(Bench, "train", None)
    assert bench.run([job], silent) == 0 and bench.figures(job, 0) == before
    assert {name: before[f"{name}:{ORACLE}"] for name in HIGHER} == {"recovery": 1, "fvu": 0, "absorption": 0}


def test_a_cell_that_diverges_takes_no_other_along(
    small: SyntheticConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three seeds: its weights are no numbers any more."""
    config = replace(small, out=tmp_path, steps=3, seeds=(0, 1, 2))
    train = Bench.train

    def diverge(bench: Bench, *arguments: Any) -> Stack:
        stack = train(bench, *arguments)
        stack.weights["W_enc"][1, 0, 0] = torch.nan
        return stack

    monkeypatch.setattr(Bench, "train", diverge)
    job = jobs_of(config)[0]
    said = "topk on hier 0 diverged with init seed 1 and lr 0.003; train with a smaller --lr."
    with pytest.raises(FaithfulError, match=said):
        Bench(config).run([job], silent)
    assert Bench(config)._missing(job) == (1,)


def test_trainings_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    """In 128 dimensions products of several threads sum otherwise; afterwards there are as many threads as before."""
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            config = SyntheticConfig(tmp_path / str(threads), variants=("topk",), seeds=(0,), steps=4, tokens=500)
            job = jobs_of(config)[0]
            Bench(config).run([job], silent)
            assert torch.get_num_threads() == threads
            found.append((Bench(config)._kept(job, 0)["rows"], Bench(config).figures(job, 0)))
    finally:
        torch.set_num_threads(before)
    (rows, figures), (others, same) = found
    assert torch.equal(rows, others) and figures == same
