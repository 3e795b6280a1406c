"""Corpora, and their study, that several tests read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from generation.sampling.distribution import Sampling
from studies.common.results import Done
from studies.corpora.study import study_corpora
from tests.own import write_external, write_own
from tests.studies.corpora.made import configured

Model = Callable[[str], tuple[ModelSpec, Any]]


LONGEST = 31


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Own, cooler own, token-shuffled own and noise; never change it."""
    spec, model = family_model("gpt2")
    root = tmp_path_factory.mktemp("study") / "runs" / "toy"
    own = Sampling(max_tokens=LONGEST)
    sizes = {"train": 9000, "test": 6000}
    write_own(root / "corpora" / "own", spec, model, own, sizes)
    cool = {"train": 9000, "test": 500}
    write_own(root / "corpora" / "own-t0.7", spec, model, own.with_changes(temperature=0.7), cool)
    generator = np.random.default_rng(0)
    documents = list(Corpus(root / "corpora" / "own").documents())
    shuffled = [np.append(generator.permutation(d[:-1]), d[-1:]) for d in documents]
    write_external(root / "corpora" / "shuffled", spec, {"train": shuffled}, "derived")
    noise = [generator.integers(0, spec.mapped - 1, LONGEST) for _ in range(300)]
    write_external(root / "corpora" / "noise", spec, {"train": noise})
    return root


@pytest.fixture(scope="session")
def done(run: Path) -> Done:
    """The study of all of them."""
    return study_corpora(configured(run))
