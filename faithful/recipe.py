"""`faithful run RECIPE`: generate → add → train → study → report, as steps that are done once and resume."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful import __version__
from faithful.errors import FaithfulError
from faithful.files import folder_lock, write_json, write_text
from faithful.recipe_config import LEAST_SEEDS, CorpusPlan, Recipe, to_toml
from faithful.runs import remember_run
from faithful.train_config import TrainConfig
from faithful.training import train
from generation.add import add
from generation.add_config import AddConfig
from generation.generate import generate
from generation.prepare import GenerateConfig
from generation.progress import Progress, Reporter, silent
from generation.shuffle import ShuffleConfig, shuffle
from generation.subsample import SubsampleConfig, subsample
from studies.catalog import find_study
from studies.report import ReportConfig, write_report

STATE, RESOLVED = "steps.json", "recipe.toml"


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        name: `corpus own`, `train`, `study seeds`, `report`.
        needs: steps that come before it.
        config: what it is told; decides, with its needs, whether it is done already.
        call: does it; what was finished of it before is kept.
        proof: a file that is there once it is done.
    """

    name: str
    needs: tuple[str, ...]
    config: Any
    call: Callable[[Any, Reporter], Any]
    proof: Path


@dataclass(frozen=True)
class RunResult:
    """What `run_recipe` did.

    Attributes:
        folder: of the run.
        done: steps done now, with their seconds.
        skipped: steps that were done before.
    """

    folder: Path
    done: dict[str, float]
    skipped: list[str]

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"


def steps_of(recipe: Recipe, folder: Path, device: str | None = None) -> list[Step]:
    """The steps of a recipe in a run's folder, in an order that respects their needs.

    Args:
        recipe: what to do.
        folder: `runs/NAME`.
        device: `cpu` or `cuda` for every step; by default what the machine has.
    """
    steps = [_corpus_step(recipe, folder, corpus, device) for corpus in recipe.corpora]
    corpora = {corpus.name: folder / "corpora" / corpus.name for corpus in recipe.corpora}
    trained = tuple(corpora[corpus.name] for corpus in recipe.corpora if corpus.train)
    wish = TrainConfig(
        corpora=trained, out=folder / "saes", model=recipe.model, seeds=recipe.seeds, device=device,
        **{"tokens": recipe.tokens} | recipe.train,
    )  # fmt: skip
    made = tuple(step.name for step in steps)
    steps.append(Step("train", made, wish, train, folder / "saes" / "log.jsonl"))
    for name, values in recipe.studies.items():
        study = find_study(name)
        config, function = study.load()
        out = folder / "studies" / name
        stated = {"out": out, "model": recipe.model, "device": device} | values
        if study.of_saes:
            wish = config(saes=(folder / "saes",), corpora=trained, **stated)
        else:
            wish = config(folders=tuple(corpora.values()), **stated)
        needs = ("train",) if study.of_saes else made
        steps.append(Step(f"study {name}", needs, wish, _adapted(function, study.of_saes), out / "summary.json"))
    page = ReportConfig(run=folder)
    studies = tuple(step.name for step in steps if step.name.startswith("study "))
    steps.append(
        Step("report", ("train", *studies), page, lambda config, _: write_report(config), folder / "report.html")
    )
    return steps


def run_recipe(recipe: Recipe, folder: Path, report: Reporter = silent, device: str | None = None) -> RunResult:
    """Do what is missing of a run.

    Args:
        recipe: what to do.
        folder: `runs/NAME`.
        report: progress.
        device: see `steps_of`.

    Raises:
        FaithfulError: a run of another recipe in this folder, another process on it, or what a step refuses.
    """
    steps = steps_of(recipe, folder, device)
    with folder_lock(folder):
        _refuse_other_recipe(recipe, folder)
        write_text(folder / RESOLVED, to_toml(recipe))
        remember_run(folder)
        state = _read_state(folder)
        keys = step_keys(steps, folder)
        done: dict[str, float] = {}
        skipped = []
        for place, step in enumerate(steps):
            if state.get(step.name, {}).get("key") == keys[step.name] and step.proof.exists():
                skipped.append(step.name)
                continue
            began = time.monotonic()
            step.call(step.config, _numbered(report, f"[{place + 1}/{len(steps)}] {step.name}"))
            done[step.name] = round(time.monotonic() - began, 2)
            state[step.name] = {"key": keys[step.name], "seconds": done[step.name]}
            write_json(folder / STATE, state)
    return RunResult(folder, done, skipped)


def step_keys(steps: list[Step], folder: Path) -> dict[str, str]:
    """For each step a hash of its settings and of the steps it needs, whatever place the run lies in."""
    keys: dict[str, str] = {}
    for step in steps:
        content = [__version__, step.name, _plain(step.config, folder), [keys[need] for need in step.needs]]
        keys[step.name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return keys


def enough_seeds(recipe: Recipe) -> bool:
    """Whether the studies can come to verdicts."""
    return len(recipe.seeds) >= LEAST_SEEDS


def _corpus_step(recipe: Recipe, folder: Path, corpus: CorpusPlan, device: str | None) -> Step:
    out = folder / "corpora" / corpus.name
    needs = tuple(f"corpus {name}" for name in corpus.needs)
    budget = {"tokens": recipe.tokens} | corpus.options
    source = folder / "corpora" / corpus.source
    config: Any
    call: Any
    if corpus.how == "generate":
        config, call = GenerateConfig(model=recipe.model, out=out, device=device, **budget), generate
    elif corpus.how == "add":
        config, call = AddConfig(name=corpus.source, model=recipe.model, out=out, **budget), add
    elif corpus.how == "like":
        config = SubsampleConfig(folder=folder / "corpora" / corpus.of, like=source, out=out, **budget)
        call = subsample
    else:
        config, call = ShuffleConfig(folder=source, out=out, **corpus.options), shuffle
    return Step(f"corpus {corpus.name}", needs, config, call, out / "corpus.json")


def _adapted(function: Any, of_saes: bool) -> Callable[[Any, Reporter], Any]:
    """Studies of SAEs report (step, done, total)."""
    if not of_saes:
        return lambda config, report: function(config, report)
    return lambda config, report: function(
        config, lambda step, done, total: report(Progress(step, done, total, unit="contexts"))
    )


def _numbered(report: Reporter, name: str) -> Reporter:
    return lambda point: report(dataclasses.replace(point, step=f"{name}: {point.step}"))


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _refuse_other_recipe(recipe: Recipe, folder: Path) -> None:
    """A run is of one recipe; a changed one wants another folder."""
    path = folder / RESOLVED
    if not path.exists():
        return
    before, now = path.read_text(encoding="utf-8").splitlines(), to_toml(recipe).splitlines()
    if before != now:
        changed = [line for line in now if line not in before] or [line for line in before if line not in now]
        raise FaithfulError(
            f"{folder} is a run of another recipe ({'; '.join(changed[:4])} is new or changed); give another --run, or delete"
            f" {path} to go on with what fits."
        )


def _plain(value: Any, folder: Path) -> Any:
    """A configuration as JSON, paths inside the run relative to it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), folder) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(one, folder) for one in value]
    if isinstance(value, Path):
        inside = value.is_relative_to(folder)
        return str(value.relative_to(folder) if inside else value)
    return value
