"""`faithful run RECIPE`: generate → add → train → study → report, as steps that are done once and resume."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, write_text
from faithful.base.progress import Reporter, remark, silent, within
from faithful.base.records import read_record, write_record
from faithful.base.version import __version__
from faithful.store.corpus import read_manifest
from faithful.store.places import STATE, read_steps, remember_run
from faithful.store.saes import read_grid
from faithful.training.card import write_saes_card
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.configs.add import AddConfig
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.configs.generate import GenerateConfig
from generation.derived.dedup import dedup
from generation.derived.mix import mix, shares_of
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.external.add import add
from generation.own.generate import generate
from studies.catalog import find_study
from studies.common.study import HOW
from studies.report.config import ReportConfig
from studies.report.write import write_report
from studies.runs.recipe_file import LEAST_SEEDS, CorpusPlan, Recipe, to_toml
from studies.runs.refusals import RESOLVED, refuse_other_recipe, refuse_settings, refuse_short

REPORT, STUDY = "report", "study "


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        name: `corpus own`, `train`, `study seeds`, `report`.
        needs: steps that come before it.
        config: what it is told; decides, with its needs, whether it is done already.
        call: does it; what was finished of it before is kept.
        output_digest: of what it left behind; None where that is not there, or not all of it.
    """

    name: str
    needs: tuple[str, ...]
    config: Any
    call: Callable[[Any, Reporter], Any]
    output_digest: Callable[[], str | None]


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
        device: `cpu` or `cuda` for every step that states none; by default what the machine has.

    Raises:
        FaithfulError: a corpus that cannot hold what is made of it, or trained on it.
    """
    refuse_short(recipe)
    steps = [_corpus_step(recipe, folder, corpus, device) for corpus in recipe.corpora]
    corpora = {corpus.name: folder / "corpora" / corpus.name for corpus in recipe.corpora}
    trained = tuple(corpora[corpus.name] for corpus in recipe.corpora if corpus.train)
    wish = TrainConfig(
        corpora=trained, out=folder / "saes", model=recipe.model, seeds=recipe.seeds,
        **{"device": device} | recipe.train | recipe.grid | {"tokens": recipe.training_tokens},
    )  # fmt: skip
    made = tuple(step.name for step in steps)
    freed = [corpora[corpus.name] for corpus in recipe.corpora if corpus.train and recipe.is_freed(corpus)]
    call = partial(_train, freed=[] if "tokens" in recipe.train else freed)
    steps.append(Step("train", made, wish, call, partial(_digest_of_saes, folder / "saes")))
    reads = {name: [one for one in find_study(name).after if one in recipe.studies] for name in recipe.studies}
    for name in sorted(recipe.studies, key=lambda name: (find_study(name).of_studies, bool(reads[name]))):
        study, values = find_study(name), recipe.studies[name]
        out = folder / "studies" / name
        shared = study.told(
            saes=(folder / "saes",), corpora=trained, folders=tuple(corpora.values()), model=recipe.model, device=device
        )
        wish = study.config(out=out, **shared | values)
        needs = (*made, "train", *(f"{STUDY}{one}" for one in reads[name])) if study.of_saes else made
        if study.of_studies:
            needs = tuple(step.name for step in steps)
        steps.append(Step(f"{STUDY}{name}", needs, wish, study.run, partial(_digest_of_study, out)))
    path = folder / "report.html"
    steps.append(
        Step(
            REPORT,
            tuple(step.name for step in steps),
            ReportConfig(run=folder),
            lambda config, _: write_report(config),
            lambda: "written" if path.exists() else None,
        )
    )
    return steps


def run_recipe(recipe: Recipe, folder: Path, report: Reporter = silent, device: str | None = None) -> RunResult:
    """Do what is missing of a run.

    A step is done again where its settings, what it works on or what it left are no longer what they were; what is finished
    of it is kept. The report is written again after anything was done. Before a step is done again its record and the
    report's are withdrawn: a run that is killed then is an unfinished one.

    Args:
        recipe: what to do.
        folder: `runs/NAME`.
        report: progress.
        device: see `steps_of`.

    Raises:
        FaithfulError: a run of another recipe in this folder, another process on it, a device, package or task that is not
            here, or what a step refuses; what can be known of that is refused before any is done.
    """
    steps = steps_of(recipe, folder, device)
    _refuse_settings(steps)
    with folder_lock(folder):
        refuse_other_recipe(recipe, folder)
        write_text(folder / RESOLVED, to_toml(recipe))
        remember_run(folder)
        state = read_steps(folder)
        keys = step_keys(steps, folder)
        outputs: dict[str, str | None] = {}
        done: dict[str, float] = {}
        skipped = []
        for place, step in enumerate(steps):
            key, outputs[step.name] = _key(step, keys, outputs), step.output_digest()
            if _holds(state.get(step.name), key, outputs[step.name]) and not (step.name == REPORT and done):
                skipped.append(step.name)
                continue
            if {step.name, REPORT} & state.keys():
                state = {name: one for name, one in state.items() if name not in (step.name, REPORT)}
                write_record(folder / STATE, state)
            began = time.monotonic()
            step.call(step.config, within(report, f"[{place + 1}/{len(steps)}] {step.name}"))
            done[step.name] = round(time.monotonic() - began, 2)
            outputs[step.name] = step.output_digest()
            state[step.name] = {"key": key, "left": outputs[step.name], "seconds": done[step.name]}
            write_record(folder / STATE, state)
    return RunResult(folder, done, skipped)


def _refuse_settings(steps: list[Step], elsewhere: bool = False) -> None:
    for step in steps:
        refuse_settings(step.config, elsewhere)
        if step.name.startswith(STUDY):
            find_study(step.name.removeprefix(STUDY)).check(step.config)


def done_steps(recipe: Recipe, folder: Path, device: str | None = None, elsewhere: bool = False) -> list[str]:
    """Steps that `run_recipe` would not do again, by what is there; nothing is written.

    What needs a step that is to be done is to be done as well, though that step may leave what it left before.

    Args:
        recipe: what to do.
        folder: `runs/NAME`.
        device: see `steps_of`.
        elsewhere: whether it is asked for another machine, so that no device need be here.

    Raises:
        FaithfulError: a run of another recipe in this folder, or what `run_recipe` refuses before any step is done.
    """
    steps = steps_of(recipe, folder, device)
    _refuse_settings(steps, elsewhere)
    refuse_other_recipe(recipe, folder)
    state, keys = read_steps(folder), step_keys(steps, folder)
    outputs: dict[str, str | None] = {}
    done: list[str] = []
    for step in steps:
        key, outputs[step.name] = _key(step, keys, outputs), step.output_digest()
        if _holds(state.get(step.name), key, outputs[step.name]) and set(step.needs) <= set(done):
            done.append(step.name)
    return done


def step_keys(steps: list[Step], folder: Path) -> dict[str, str]:
    """For each step a hash of its settings and of the steps it needs, whatever place the run lies in."""
    keys: dict[str, str] = {}
    for step in steps:
        content = [__version__, step.name, _plain(step.config, folder), [keys[need] for need in step.needs]]
        keys[step.name] = digest(content)
    return keys


def enough_seeds(recipe: Recipe) -> bool:
    """Whether the studies can come to verdicts."""
    return len(recipe.seeds) >= LEAST_SEEDS


def _corpus_step(recipe: Recipe, folder: Path, corpus: CorpusPlan, device: str | None) -> Step:
    out = folder / "corpora" / corpus.name
    inputs = tuple(folder / "corpora" / name for name in corpus.inputs)
    options, where = corpus.options, {"device": device}
    budget: dict[str, Any] = {"tokens": recipe.most(corpus)} | corpus.options
    config: Any
    call: Any
    match corpus.how:
        case "add":
            config, call = AddConfig(name=corpus.source, model=recipe.model, out=out, **budget), add
        case "like":
            config, call = SubsampleConfig(folder=inputs[0], like=inputs[1], out=out, **budget), subsample
        case "mix":
            config, call = MixConfig(folders=inputs, out=out, **budget), mix
            shares_of(config)
        case "dedup":
            config, call = DedupConfig(folder=inputs[0], out=out, **options), dedup
        case "shuffle":
            config, call = ShuffleConfig(folder=inputs[0], out=out, **options), shuffle
        case _:
            config, call = GenerateConfig(model=recipe.model, out=out, **where | budget), generate
    needs = tuple(f"corpus {name}" for name in corpus.inputs)
    return Step(f"corpus {corpus.name}", needs, config, call, partial(_digest_of_corpus, out))


def _key(step: Step, keys: Mapping[str, str], outputs: Mapping[str, str | None]) -> str:
    """Hash of a step's settings and of what it works on."""
    return digest([keys[step.name], [outputs[need] for need in step.needs]])


def _holds(before: Mapping[str, Any] | None, key: str, output: str | None) -> bool:
    """Whether a step is done: its record is of this key, and what it left is there as it was."""
    return before is not None and output is not None and (before["key"], before["left"]) == (key, output)


def _digest_of_corpus(folder: Path) -> str | None:
    """Identity and shards of a corpus whose files are all there."""
    try:
        manifest = read_manifest(folder)
    except FaithfulError:
        return None
    shards = [shard for split in manifest.shards.values() for shard in split]
    files = [folder / shard.file for shard in shards]
    if not all(
        file.is_file() and file.stat().st_size == shard.bytes for file, shard in zip(files, shards, strict=True)
    ):
        return None
    return digest([manifest.identity, [shard.sha256 for shard in shards]])


def _train(config: TrainConfig, report: Reporter, freed: Sequence[Path] = ()) -> None:
    """Train the grid and write its card; a card that cannot be written, for a README.md of others is there, stops no run.

    Args:
        config: what is asked for.
        report: progress.
        freed: corpora that hold what removing duplicates left: all are trained on what the smallest of them has.
    """
    least, name = min(((read_manifest(folder).tokens(), folder.name) for folder in freed), default=(0, ""))
    if config.tokens and 0 < least < config.tokens:
        report(
            remark(
                f"Without its duplicates {name} holds {least:,} tokens of the {config.tokens:,} asked for: all SAEs are"
                f" trained on {least:,} tokens each."
            )
        )
        config = dataclasses.replace(config, tokens=least)
    out = train(config, report).out
    try:
        write_saes_card(out)
    except FaithfulError as error:
        report(remark(f"No card was written: {error}"))


def _digest_of_saes(folder: Path) -> str | None:
    """Every SAE of a run by its place, what decides its weights and its figures on held-out text, which tell its weights
    from others."""
    try:
        return digest([[cell.place, cell.identity, cell.evaluation] for cell in read_grid(folder)])
    except FaithfulError:
        return None


def _digest_of_study(folder: Path) -> str | None:
    """Summary of a study whose table is there, without how much of it was taken from its cache."""
    try:
        summary = read_record(folder / "summary.json", dict)
    except FaithfulError:
        return None
    summary.pop("reused", None)
    return digest(summary) if (folder / "results.parquet").exists() else None


def _plain(value: Any, folder: Path) -> Any:
    """A configuration as JSON, paths inside the run relative to it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name not in HOW}
        if told.get("load", "full") is None:
            del told["load"]  # as steps were recorded before there was a choice
        return {name: _plain(one, folder) for name, one in told.items()}
    if isinstance(value, tuple | list):
        return [_plain(one, folder) for one in value]
    if isinstance(value, Path):
        inside = value.is_relative_to(folder)
        return str(value.relative_to(folder) if inside else value)
    return value
