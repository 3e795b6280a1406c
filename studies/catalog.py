"""The studies by name, imported when one is asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict, get_args, get_type_hints

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Progress, Reporter
from faithful.base.records import fit, read_record, write_record
from studies.corpora.config import CorporaConfig
from studies.fakes.config import FakesConfig
from studies.probes.config import ProbesConfig
from studies.reconstruction.config import ReconstructionConfig
from studies.seeds.config import SeedsConfig

SETTINGS = "settings.json"
DEFAULTS = "delete it to begin with the defaults"


UNITS = {"tasks": "tasks", "probes": "fits", "pairs": "pairs", "overlap": "corpora", "gaussian": "steps"}
"""What a step counts, by its first word; others count contexts."""


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: as in `faithful study NAME` and `runs/RUN/studies/NAME`.
        room: where it lives, its work in `study.py`, its tables in `tables.py`.
        config: its configuration.
        function: name of its function: (config, report) → something with `folder` and `summary`.
        question: what it answers.
        of_saes: whether it reads SAEs (`StudyConfig`) or corpora alone.
        details: how the titles of those tables begin that a terminal shows on request.
    """

    name: str
    room: str
    config: type[Any]
    function: str
    question: str
    of_saes: bool = True
    details: tuple[str, ...] = ()

    def tables(
        self, summary: dict[str, Any], full: bool = True
    ) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Its tables for the terminal and the report: title, header, rows; not `full` leaves the details out."""
        module = import_module(f"{self.room}.tables")
        found: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = getattr(module, f"{self.name}_tables")(
            summary
        )
        return [table for table in found if full or not table[0].startswith(self.details)]

    def load(self) -> Any:
        """Its function."""
        return getattr(import_module(f"{self.room}.study"), self.function)

    def run(self, config: Any, report: Reporter) -> Any:
        """Do it, leave what it was told in OUT/settings.json, and remove figures of an earlier study in OUT.

        Figures are removed last: a run that is killed leaves at most too many, which the next one removes.

        Args:
            config: of the study's class.
            report: progress.

        Returns:
            what its function returns.

        Raises:
            FaithfulError: what its function refuses, or a folder that cannot be written.
        """
        function = self.load()
        steps: Any = _steps(report) if self.of_saes else report
        before = _figures(config.out)
        study = function(config, steps)
        with folder_lock(config.out):
            told = {field.name: _plain(getattr(config, field.name)) for field in fields(config)}
            write_record(config.out / SETTINGS, told)
            for path, drawn in _figures(config.out).items():
                if before.get(path) == drawn:
                    path.unlink(missing_ok=True)
        return study

    def configure(self, out: Path, stated: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What to tell it: what is stated; the rest as the study in a folder was told, if of the same SAEs or corpora.

        Args:
            out: folder of the study.
            stated: fields of its configuration, its SAEs or corpora among them.

        Returns:
            the configuration; and those of its values that are no defaults and come from OUT/settings.json. Corpora that
            are no longer where they were do not.

        Raises:
            FaithfulError: settings.json cannot be read.
        """
        hints, recorded = get_type_hints(self.config), read_settings(out / SETTINGS)
        if recorded and not self._of_the_same(recorded, stated, out):
            recorded = {}
        kept = {}
        for field in fields(self.config):
            if field.name in {"out", *stated} or field.name not in recorded or field.default is MISSING:
                continue
            fit(recorded[field.name], hints[field.name], str(out / SETTINGS), DEFAULTS, field.name)
            value = _restored(hints[field.name], recorded[field.name])
            gone = field.name == "corpora" and not all(folder.is_dir() for folder in value)
            if value != field.default and not gone:
                kept[field.name] = value
        return self.config(out=out, **kept | dict(stated)), kept

    def _of_the_same(self, recorded: Mapping[str, Any], stated: Mapping[str, Any], out: Path) -> bool:
        """Whether the study in a folder was of the same SAEs or corpora; in a run it is of the run's."""
        inputs, place = ("saes", "saes") if self.of_saes else ("folders", "corpora")
        home, now = (out.parent.parent / place).resolve(), _places(stated[inputs])
        return all(home in (one, one.parent) for one in now) or now == _places(recorded.get(inputs, ()))


STUDIES = {
    study.name: study
    for study in (
        Study(
            "corpora", "studies.corpora", CorporaConfig, "study_corpora",
            "How far does each corpus lie outside the model, and how diverse is it?", of_saes=False,
        ),
        Study(
            "seeds", "studies.seeds", SeedsConfig, "study_seeds",
            "Do SAEs that differ in their seed find the same features?",
            details=("Floors: ", "How the optimal assignments"),
        ),
        Study("fakes", "studies.fakes", FakesConfig, "study_fakes", "How many features fire on random tokens?"),
        Study(
            "probes", "studies.probes", ProbesConfig, "study_probes",
            "How much do the features tell about the text?",
        ),
        Study(
            "reconstruction", "studies.reconstruction", ReconstructionConfig, "study_reconstruction",
            "How well does each SAE rebuild the activations of each corpus?",
        ),
    )
}  # fmt: skip


def find_study(name: str) -> Study:
    """A study by name.

    Raises:
        FaithfulError: no such study.
    """
    if name not in STUDIES:
        raise FaithfulError(f"'{name}' is not a study; choose {', '.join(STUDIES)}.")
    return STUDIES[name]


def _unit(step: str) -> str:
    return UNITS.get(step.partition(" ")[0], "contexts")


def _steps(report: Reporter) -> Callable[[str, int, int], None]:
    """Steps of a study, each in its unit; one without a total is a sentence."""

    def step(what: str, done: int, total: int) -> None:
        report(Progress(what, done, total, _unit(what)) if total else Progress("note", 0, 0, note=what))

    return step


def _figures(out: Path) -> dict[Path, tuple[int, int]]:
    """Figures in a study's folder, with what tells a file from one that was written over it."""
    found = {}
    for path in (out / "figures").glob("*.svg"):
        state = path.stat()
        found[path] = (state.st_ino, state.st_mtime_ns)
    return found


def _places(sources: Iterable[Any]) -> set[Path]:
    return {Path(source).resolve() for source in sources}


def _plain(value: Any) -> Any:
    """A value of a configuration as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _restored(hint: Any, value: Any) -> Any:
    """The same back, as the field's type wants it."""
    kinds = get_args(hint)
    if isinstance(value, list):
        return tuple(_restored(kinds[0], one) for one in value)
    is_path = isinstance(value, str) and Path in (hint, *kinds) and str not in kinds
    return Path(value) if is_path else value


class Settings(TypedDict, total=False):
    """What a study was told to work on; the rest is compared with its configuration."""

    saes: list[Path]
    folders: list[Path]


def read_settings(path: Path) -> dict[str, Any]:
    """What a study was told (`settings.json`); {} where nothing was recorded.

    Raises:
        FaithfulError: the record is damaged.
    """
    return read_record(path, Settings, DEFAULTS) if path.exists() else {}
