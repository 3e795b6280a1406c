"""Trainings that are done once, whatever they are done beside."""

from dataclasses import replace
from pathlib import Path

import pytest

from faithful.base.progress import Progress, silent
from studies.common.results import Done
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.plan import arms_of


def jobs_of(config: SyntheticConfig) -> list[Job]:
    return [Job("hier", seed, arm) for seed in config.truth_seeds for arm in arms_of(config, config.variants)]


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
    assert told == ["hier 0, topk: training", "hier 0, topk:d_sae=40:k=2: training"]
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
