"""`faithful study NAME`, each as its record in the catalog says, and `faithful study all`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.output.next_step import following, next_step
from faithful.cli.shared import (
    Json,
    Part,
    RayAddress,
    Run,
    Where,
    array_line,
    gpus_of,
    on_executor,
    refuse_executor,
    working,
)
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from studies.explanations.config import STUDY as EXPLAIN
from studies.report.config import ReportConfig

if TYPE_CHECKING:
    from studies.common.study import Study

KEPT = "Options that are left out are those of the study that is there already."
Full = Annotated[bool, typer.Option("--full", help="Every table.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]
OfParts = Annotated[
    bool, typer.Option("--dry-run", help="With --part: print the line that a batch system takes; write nothing.")
]
Seed = Annotated[int | None, typer.Option(help="Of every random choice of the studies; default 0.")]


def register(app: typer.Typer) -> None:
    """Add `explain`."""
    app.command("explain", cls=Explained, help=_help(EXPLAIN))(command(configured(_of_saes(EXPLAIN), EXPLAIN.config)))


def studies(app: typer.Typer) -> None:
    """Add the commands of `study`."""
    from studies.catalog import KNOWN

    for study in KNOWN.values():
        of = _of_saes if study.of_saes or not study.of_run else _of_corpora
        app.command(study.name, cls=Explained, help=_help(study))(command(configured(of(study), study.config)))
    app.command("all", help="Every study of the current run, and its report.")(command(everything))


def _help(study: "Study") -> str:
    return f"{study.question}\n\n{KEPT}"


def _of_saes(study: "Study") -> Any:
    if not study.shares_out:
        return _of_tables(study)

    def study_saes(
        stated: Stated[Any],
        run: Run = None,
        part: Part = None,
        dry_run: OfParts = False,
        executor: Where = "local",
        ray: RayAddress = None,
        full: Full = False,
        as_json: Json = False,
    ) -> None:
        place = _part_of(part, dry_run)
        refuse_executor(executor, ray)
        values = dict(stated.values)
        out, after = (_about_saes if study.of_run else _about_itself)(study, values, run)
        if place:
            _do_part(study, out, values, place, as_json, dry_run, executor, ray)
            return
        with working(executor, ray):
            _do(study, out, values, as_json, full=full, after=after)

    return study_saes


def _of_tables(study: "Study") -> Any:
    """The command of a study that reads what others left: no work to share out, here or on a cluster."""

    def study_tables(stated: Stated[Any], run: Run = None, full: Full = False, as_json: Json = False) -> None:
        values = dict(stated.values)
        out, after = _about_saes(study, values, run)
        _do(study, out, values, as_json, full=full, after=after)

    return study_tables


def _about_saes(study: "Study", values: dict[str, Any], run: str | None) -> tuple[Path, str]:
    """Where a study of SAEs goes, and the command after it; `values` has their places then."""
    from faithful.store.places import corpora_in

    values["saes"] = tuple(map(place_of, values["saes"])) if "saes" in values else (str(saes_of(run)),)
    if "corpora" in values:
        values["corpora"] = tuple(corpora_in(*values["corpora"]))
    return values.pop("out", None) or _folder(values["saes"], run, study.name), command_line(ReportConfig)


def _about_itself(study: "Study", values: dict[str, Any], run: str | None) -> tuple[Path, str]:
    """The same of a study that makes what it works on."""
    from faithful.store.places import run_folder

    home = run_folder(run or study.name)
    of_run = home / "studies" / study.name
    out = values.pop("out", None) or of_run
    return out, command_line(ReportConfig, run=home) if out.resolve() == of_run.resolve() else ""


def _of_corpora(study: "Study") -> Any:
    def study_corpora(stated: Stated[Any], run: Run = None, as_json: Json = False) -> None:
        from faithful.cli.corpus import folders_of, home_of
        from faithful.store.places import corpora_in
        from faithful.training.config import TrainConfig

        values, named = dict(stated.values), stated.values.get("folders", ())
        chosen = corpora_in(*named) or folders_of(run)
        out = values.pop("out", None) or home_of(chosen[0], run) / "studies" / study.name
        after = command_line(TrainConfig, corpora=named) if named else command_line(TrainConfig, run=run)
        _do(study, out, values | {"folders": tuple(chosen)}, as_json, full=True, after=after)

    return study_corpora


def everything(
    run: Run = None,
    device: Device = None,
    seed: Seed = None,
    executor: Where = "local",
    ray: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Every study of a run, and optional ones done before, as told before, else with their defaults; then the report.

    One that asks a server is left out: where it was is not kept.
    """
    from faithful.cli.corpus import folders_of
    from studies.catalog import KNOWN, STUDIES
    from studies.common.results import SUMMARY
    from studies.report.write import write_report

    saes = saes_of(run)
    home, folders = saes.parent, tuple(folders_of(run))
    found = {}
    optional = [one for one in KNOWN.values() if one.optional and (home / "studies" / one.name / SUMMARY).exists()]
    for study in [one for one in optional if one.told(endpoint=None)]:
        optional.remove(study)
        say(
            f"Not done again: {study.name}, whose endpoint is not kept; `{command_line(study.config, run=run)}` does it."
        )
    with working(executor, ray):
        for study in sorted([*STUDIES.values(), *optional], key=lambda study: study.of_studies):
            stated = study.told(saes=(saes,), folders=folders, device=device, seed=seed)
            found[study.name] = _do(study, home / "studies" / study.name, stated, as_json)
    path = write_report(ReportConfig(run=home))
    if as_json:
        print_json({"studies": found, "report": str(path)})
    else:
        say(f"Report: {path}")
        say(f"Next: {next_step(home)}")


def saes_of(run: str | None) -> Path:
    """Folder of the SAEs of the current run; says on stderr which."""
    from faithful.base.errors import FaithfulError
    from faithful.store.places import current_run

    where = current_run(run)
    if not next((where / "saes").glob("*/*/*/cfg.json"), None):
        raise FaithfulError(f"The run {where} holds no SAEs; train some with `faithful train`.")
    say(f"Run {where}: its SAEs")
    return where / "saes"


def place_of(source: str) -> str:
    """What a place of SAEs stands for: of a run the folder of its SAEs; a place on the Hub as it is."""
    from faithful.store.places import saes_in

    place = Path(source)
    return str(saes_in(place)) if place.is_dir() or "/" not in source else source


def _do(
    study: "Study", out: Path, stated: Mapping[str, object], as_json: bool, full: bool = False, after: str | None = None
) -> Mapping[str, Any]:
    """Do a study and say what came out.

    Args:
        study: its record.
        out: folder.
        stated: what it is told (None is not); the rest is as the study in the folder was told, of which stderr hears.
        as_json: whether the summary is printed, and nothing else.
        full: every table.
        after: the command that comes next where its folder is in no run, empty for none; None where further studies follow.
    """
    wish = _wish(study, out, stated)
    with progress(quiet=as_json) as report:
        done = study.run(wish, report)
    summary: Mapping[str, Any] = done.summary | {"folder": str(done.folder)}
    missing = summary.get("missing_corpora")
    if missing:
        say(
            f"Not in the panel: held-out text of {', '.join(missing)}, which is not where it was; name it with --corpus."
        )
    for sentence in summary.get("loads", ()):
        say(sentence)
    if as_json:
        if after is not None:
            print_json(summary)
        return summary
    for note in study.cautions(done.summary):
        say(note)
    for table in study.tables(done.summary, full):
        print_table(table.title, table.rows, table.header)
    if study.details and not full:
        say("The rest of the tables: --full.")
    for contrast in done.summary["contrasts"]:
        if contrast.get("headline") and study.of_run:
            say(contrast["sentence"])
    if done.taken and after is not None:
        say(f"Taken from an earlier run: {', '.join(done.taken)}.")
    say(f"Figures and results.parquet: {done.folder}")
    if after is not None and (then := following(done.folder, after)):
        say(f"Next: {then}")
    return summary


def _wish(study: "Study", out: Path, stated: Mapping[str, object]) -> Any:
    """What a study is told: what is stated, the rest as the study in the folder was told, of which stderr hears."""
    wish, kept = study.configure(out, {key: value for key, value in stated.items() if value is not None})
    if kept:
        shown = {key: ",".join(map(str, value)) if isinstance(value, tuple) else value for key, value in kept.items()}
        told = ", ".join(f"{key} {value}" for key, value in shown.items())
        say(f"As the study in {out} was told: {told}; state an option to change it.")
    return wish


def _part_of(part: str | None, dry_run: bool) -> Any:
    """The part that was asked for, None for all.

    Raises:
        FaithfulError: no part, or a dry run of all.
    """
    from faithful.base.errors import FaithfulError
    from faithful.base.quantities import parse_part

    if part is not None:
        return parse_part(part)
    if dry_run:
        raise FaithfulError("--dry-run of a study prints the line for its parts; add --part 0/16 for sixteen.")
    return None


def _do_part(
    study: "Study",
    out: Path,
    stated: Mapping[str, object],
    part: Any,
    as_json: bool,
    dry_run: bool,
    executor: str,
    ray: str | None,
) -> None:
    """Do a part of a study and say what is left; of a dry run the line for all parts."""
    wish = _wish(study, out, stated)
    whole = command_line(wish) + on_executor(executor, ray)
    if dry_run:
        line = array_line(whole, part, gpus_of(wish))
        if as_json:
            print_json({"sbatch": line})
        else:
            say(line)
        return
    with working(executor, ray), progress(quiet=as_json) as report:
        done = study.run_part(wish, part, report)
    if as_json:
        print_json({"folder": str(out), "part": str(part), "done": done.done, "reused": done.reused, "left": done.left})
    what, left = study.shares_out, done.left or "no"
    say(f"Part {part}: {done.done} {what}, {done.reused} of them done before; {left} {what} are left to other parts.")
    say(f"The results, once all are done: {whole}")


def _folder(sources: tuple[str, ...], run: str | None, name: str) -> Path:
    """Where a study goes: the run named, else the run that the first SAEs lie in, else beside them; of SAEs from the Hub the
    run called as their repository.

    Raises:
        FaithfulError: that run has SAEs, and these are others or only some of them.
    """
    from faithful.base.errors import FaithfulError
    from faithful.store.places import run_folder
    from faithful.store.saes import sae_folders

    home = run_folder(run) if run else home_of_saes(sources[0])
    places = [Path(source) for source in sources]
    named = {folder.resolve() for place in places for folder in sae_folders(place)}
    of_run = {folder.resolve() for folder in sae_folders(home / "saes")}
    out = home / "studies" / name
    if of_run and (named != of_run or not all(place.is_dir() for place in places)):
        raise FaithfulError(
            f"{out} is for a study of all {len(of_run)} SAEs of {home}, and these are not they; say with --out where this"
            " one goes."
        )
    return out


def home_of_saes(source: str) -> Path:
    """The folder of the run that SAEs lie in, else the folder that they lie in; of `USER/REPO/place` `runs/REPO`."""
    from faithful.store.places import run_folder, run_name

    place = Path(source)
    if not place.is_dir():
        return run_folder(run_name("/".join(source.split("/")[:2])))
    parents = [place.resolve(), *place.resolve().parents]
    return next((parent for parent in parents if parent.name == "saes"), parents[0]).parent
