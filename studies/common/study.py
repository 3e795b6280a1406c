"""A study's record: all that the command line, recipes, forecasts, the report and a publication know of it.

What its methods work with is imported when they are called: `faithful --help` reads records.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, get_args, get_type_hints

from faithful.base.progress import Reporter
from faithful.base.quantities import Part
from studies.common.forecast import Size, StudyCost, Work
from studies.statistics.headlines import Headline

if TYPE_CHECKING:
    from faithful.executor.parts import PartDone
    from studies.common.results import Done, Summary
    from studies.common.tables import Table

SETTINGS = "settings.json"
DEFAULTS = "delete it to begin with the defaults"
HOW = {"workers", "shard_model", "endpoint", "requests"}
"""Fields that decide how a study works, and no figure: they are not kept."""


def _nothing(summary: Mapping[str, Any]) -> list[Any]:
    return []


def _unchecked(config: Any) -> None:
    """Nothing is refused beforehand."""


@dataclass(frozen=True)
class Study:
    """One study, found by the line of its folder in `studies/catalog.py`.

    It stands in the folder's `config.py`, beside its configuration. Its work is `study_NAME` in `study.py` there, (config,
    report) → `Done`; its tables `NAME_tables` in `tables.py`, summary → tables. Both are imported when they are called for.

    Attributes:
        name: as in `faithful study NAME` and `runs/RUN/studies/NAME`.
        question: what it answers.
        meaning: what its figures mean, for the report.
        config: its configuration.
        cost: what it takes with a configuration.
        shares_out: what its parts share out, in the plural; empty where it has no parts.
        headline: what its verdicts are about; None where it has none.
        sizes: settings that are left to the device, and what they are then.
        captions: of its figures, by the names of their files.
        lead: the figure that the report shows first, before the tables.
        family: what Holm's correction is over.
        of_seeds_alone: figures whose intervals leave out what else was drawn, as a sentence.
        of_saes: whether it reads SAEs (`SaesConfig`) or corpora alone.
        of_run: whether it reads a run at all; else it makes what it works on, and is none of those that a run lacks.
        optional: whether a run has it only where its recipe names it or a command does it: no run lacks it, and the report's
            answer, which is of the studies that every run has, does not rest on it.
        of_studies: whether it reads what the run's other studies left, and comes after them.
        after: studies whose results it reads where the run has them.
        check: refuses what a configuration names and is not here, before a run that ends in the study is begun.
        details: how the titles of those tables begin that a terminal shows on request.
        notes: what the report says of its figures.
        warnings: what to say of a summary before anything else.
        remarks: what the report's answer adds of a summary.
        verdicts: verdicts, each with its sentence, that are of no headline.
    """

    name: str
    question: str
    meaning: str
    config: type[Any]
    cost: Callable[[Any, Work], StudyCost]
    shares_out: str = ""
    headline: Headline | None = None
    sizes: Mapping[str, Size] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    lead: str = ""
    family: str = "the study's headline contrasts"
    of_seeds_alone: str = ""
    of_saes: bool = True
    of_run: bool = True
    optional: bool = False
    of_studies: bool = False
    after: tuple[str, ...] = ()
    check: Callable[[Any], None] = _unchecked
    details: tuple[str, ...] = ()
    notes: Callable[[Mapping[str, Any]], list[str]] = _nothing
    warnings: Callable[[Mapping[str, Any]], list[str]] = _nothing
    remarks: Callable[[Mapping[str, Any]], list[str]] = _nothing
    verdicts: Callable[[Mapping[str, Any]], list[tuple[str, str]]] = _nothing

    def told(self, **shared: object) -> dict[str, object]:
        """Of what all studies of a run are told, what this one's configuration has a field for."""
        return {name: value for name, value in shared.items() if name in {one.name for one in fields(self.config)}}

    def tables(self, summary: "Summary", full: bool = True) -> "list[Table]":
        """Its tables for the terminal, the report and the cards; not `full` leaves the details out."""
        from studies.common.tables import control_tables

        found: list[Table] = self._of("tables", f"{self.name}_tables")(summary) + control_tables(summary)
        return [table for table in found if full or not table.title.startswith(self.details)]

    def cautions(self, summary: Mapping[str, Any]) -> list[str]:
        """What to say of a summary before anything else: its warnings, and the metrics that do not tell a control."""
        from studies.statistics.sentences import not_told_apart

        return [*self.warnings(summary), *not_told_apart(summary)]

    def load(self) -> "Callable[[Any, Any], Done]":
        """Its function."""
        function: Callable[[Any, Any], Done] = self._of("study", f"study_{self.name}")
        return function

    def _of(self, module: str, name: str) -> Any:
        return getattr(import_module(f"{self.config.__module__.rpartition('.')[0]}.{module}"), name)

    def run(self, config: Any, report: Reporter) -> "Done":
        """Do it, leave what it was told in OUT/settings.json, and remove figures of an earlier study in OUT.

        Figures are removed last: a run that is killed leaves at most too many, which the next one removes.

        Args:
            config: of the study's class.
            report: progress.

        Raises:
            FaithfulError: what its function refuses, a folder that cannot be written, or that a node does not see.
        """
        from faithful.base.files import folder_lock
        from faithful.base.records import write_record
        from faithful.executor.where import current_place

        function = self.load()
        current_place().refuse_unseen(config.out)
        before = _figures(config.out)
        done = function(config, report)
        with folder_lock(config.out):
            told = {one.name: _plain(getattr(config, one.name)) for one in fields(config) if one.name not in HOW}
            write_record(config.out / SETTINGS, told)
            for path, drawn in _figures(config.out).items():
                if before.get(path) == drawn:
                    path.unlink(missing_ok=True)
        return done

    def run_part(self, config: Any, part: Part, report: Reporter) -> "PartDone":
        """Do a part and keep what comes of it, without results; others may do theirs in the same folder at the same time.

        Args:
            config: of the study's class.
            part: which one.
            report: progress.

        Raises:
            FaithfulError: see `run`; the folder's locks do not reach other machines.
        """
        from faithful.executor.parts import PartDone, as_part
        from faithful.executor.where import current_place

        current_place().refuse_unseen(config.out)
        try:
            with as_part(part, config.out):
                self.load()(config, report)
        except PartDone as done:
            return done
        raise TypeError(f"study {self.name} shares out {self.shares_out}, and asks for none with `own`")

    def configure(self, out: Path, stated: Mapping[str, object]) -> tuple[Any, dict[str, object]]:
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
        from faithful.base.records import fit

        hints, recorded = get_type_hints(self.config), read_settings(out / SETTINGS)
        if recorded and not self._of_the_same(recorded, stated, out):
            recorded = {}
        kept = {}
        for setting in fields(self.config):
            if setting.name in {"out", *HOW, *stated} or setting.name not in recorded or setting.default is MISSING:
                continue
            fit(recorded[setting.name], hints[setting.name], str(out / SETTINGS), DEFAULTS, setting.name)
            value = _restored(hints[setting.name], recorded[setting.name])
            gone = setting.name == "corpora" and not all(folder.is_dir() for folder in value)
            if value != setting.default and not gone:
                kept[setting.name] = value
        return self.config(out=out, **kept | dict(stated)), kept

    def _of_the_same(self, recorded: Mapping[str, Any], stated: Mapping[str, Any], out: Path) -> bool:
        """Whether the study in a folder was of the same SAEs or corpora; in a run it is of the run's."""
        if not self.of_run:
            return True
        inputs, place = ("saes", "saes") if self.of_saes else ("folders", "corpora")
        home, now = (out.parent.parent / place).resolve(), _places(stated[inputs])
        return all(home in (one, one.parent) for one in now) or now == _places(recorded.get(inputs, ()))


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


def read_settings(path: Path) -> Mapping[str, Any]:
    """What a study was told (`settings.json`); {} where nothing was recorded.

    Raises:
        FaithfulError: the record is damaged.
    """
    from faithful.base.records import read_record

    return read_record(path, Settings, DEFAULTS) if path.exists() else {}
