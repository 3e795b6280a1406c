"""Studies that were killed go on where they were: what a forward pass gave is never read again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from faithful.models.spec import ModelSpec
from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack
from generation.sampling.distribution import Sampling
from studies.common import codes
from studies.common.codes import Moments
from studies.fakes import figures as fakes_figures
from studies.fakes.config import FakesConfig
from studies.fakes.study import study_fakes
from studies.reconstruction import figures as reconstruction_figures
from studies.reconstruction import measure as reconstruction
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from studies.seeds import gaussian as floors
from studies.seeds.gaussian import gaussian_saes
from tests.own import write_own
from tests.studies.random_saes import write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]


class Killed(Exception):
    """What ends a study here."""


class Passes:
    """Counts calls, of which one ends the study."""

    def __init__(self, fatal: int | None = None) -> None:
        self.made, self.fatal = 0, fatal

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            self.made += 1
            if self.made == self.fatal:
                raise Killed
            return function(*given, **named)

        return counted


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora with two random SAEs each; never change it."""
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("resume") / "runs" / "tried"
    sampling, sizes = Sampling(max_tokens=31), {"train": 400, "test": 900}
    corpora = [
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    ]
    for corpus in corpora:
        for seed in (0, 1):
            write_recorded(folder / "saes", corpus.name, seed, model.config.hidden_size, 24)
    return folder


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fakes_figures, reconstruction_figures):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def fakes(run: Path, out: Path, passes: Passes, *corpora: str) -> dict[str, Any]:
    """The study of the SAEs of some corpora, its texts counted."""
    saes = tuple(run / "saes" / name for name in corpora) or (run / "saes",)
    panel = tuple(run / "corpora" / name for name in ("cool", "own"))
    config = FakesConfig(saes, out, panel, tokens=400, noise_tokens=400, device="cpu", examples=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "kept_activations", passes.of(codes.kept_activations))
        return study_fakes(config).summary


def rebuilt(run: Path, out: Path, passes: Passes, *corpora: str) -> dict[str, Any]:
    saes = tuple(run / "saes" / name for name in corpora) or (run / "saes",)
    panel = tuple(run / "corpora" / name for name in ("cool", "own"))
    config = ReconstructionConfig(saes, out, panel, tokens=400, device="cpu", ks=(1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstruction, "kept_activations", passes.of(reconstruction.kept_activations))
        patch.setattr(reconstruction, "splice_contexts", passes.of(reconstruction.splice_contexts))
        return study_reconstruction(config).summary


@pytest.fixture(scope="module")
def undisturbed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Summaries of studies that nothing ended, and how many passes they made."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in (fakes_figures, reconstruction_figures):
            patch.setattr(module, "draw", lambda *_: None)
        for name, study in (("fakes", fakes), ("reconstruction", rebuilt)):
            passes = Passes()
            found[name] = study(run, tmp_path_factory.mktemp(name), passes) | {"passes": passes.made}
    return found


@pytest.mark.parametrize(("fatal", "left"), [(2, 11), (5, 8), (9, 4), (12, 2)])
def test_fakes_go_on_with_the_text_that_was_not_read(
    fatal: int, left: int, run: Path, undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Codes, text, its two parts, noise, shuffled, unigram, both of the permuted model, moments, both of the untrained; the
    moments are read again where an untrained text is missing."""
    assert undisturbed["fakes"]["passes"] == 12
    with pytest.raises(Killed):
        fakes(run, tmp_path, Passes(fatal))
    again = Passes()
    summary = fakes(run, tmp_path, again)
    assert again.made == left
    assert summary["corpora"] == undisturbed["fakes"]["corpora"]
    assert summary["sweeps"] == undisturbed["fakes"]["sweeps"]
    assert {path.suffix for path in (tmp_path / "cells").iterdir()} == {".json"}


@pytest.mark.parametrize("fatal", [1, 2, 3, 4])
def test_reconstruction_goes_on_with_the_part_that_was_not_read(
    fatal: int, run: Path, undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Two parts of the panel, rebuilt first, then with the SAEs in the model's way."""
    assert undisturbed["reconstruction"]["passes"] == 4
    with pytest.raises(Killed):
        rebuilt(run, tmp_path, Passes(fatal))
    again = Passes()
    summary = rebuilt(run, tmp_path, again)
    assert again.made == 4 - (fatal - 1)
    for name in ("corpora", "matrices", "reduced_k"):
        assert summary[name] == undisturbed["reconstruction"][name]
    assert {path.suffix for path in (tmp_path / "cells").iterdir()} == {".json"}


@pytest.mark.parametrize(("study", "fatal"), [(fakes, 6), (rebuilt, 2), (rebuilt, 4)])
def test_saes_that_come_later_read_what_they_lack(
    study: Callable[..., dict[str, Any]], fatal: int, run: Path, undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        study(run, tmp_path, Passes(fatal), "own")
    summary = study(run, tmp_path, Passes())
    assert summary["corpora"] == undisturbed[summary["study"]]["corpora"]


def test_gaussian_saes_go_on_from_their_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = Moments(torch.ones(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64), 100)
    config = StackConfig(d_in=6, d_sae=12, k=2, init_seeds=(0, 1), steps=40, lr=1e-3, dead_tokens=100)
    whole = gaussian_saes(moments, config, batch=32, seed=0)
    monkeypatch.setattr(floors, "CHECKPOINT_SECONDS", -1)
    with pytest.raises(Killed):
        gaussian_saes(moments, config, 32, 0, report=Passes(1).of(print), checkpoint=tmp_path / "state")
    steps = Passes()
    monkeypatch.setattr(Stack, "step", steps.of(Stack.step))
    found = gaussian_saes(moments, config, 32, 0, checkpoint=tmp_path / "state")
    assert steps.made == 40 - 15
    assert [sae.sha256() for sae in found] == [sae.sha256() for sae in whole]
