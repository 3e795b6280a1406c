"""`faithful study NAME` of SAEs, and `faithful study all`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from faithful.cli.output.next_step import following, next_step
from faithful.cli.show import command, print_json, print_table, progress, say

Saes = Annotated[
    list[str] | None, typer.Argument(help="Folders of SAEs, runs, or Hub places; default: the SAEs of the current run.")
]
CorpusOption = Annotated[
    list[Path] | None,
    typer.Option("--corpus", help="Corpus of the panel, or a run; repeat it. Default: those trained on."),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder; default studies/NAME of the run, for SAEs of the Hub runs/REPO/studies/NAME."),
]
Run = Annotated[str | None, typer.Option(help="Run to take SAEs from and write to.")]
Model = Annotated[str | None, typer.Option(help="Preset name, Hub id or folder; default: the corpora's.")]
Own = Annotated[str | None, typer.Option(help="Name of the model's own corpus.")]
Tokens = Annotated[str | None, typer.Option(help="Tokens of the panel; default 30k on a CPU, 200k on a GPU.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[str | None, typer.Option(help="Type the model runs in.")]
Seed = Annotated[int | None, typer.Option(help="Of every random choice of the study; default 0.")]
Workers = Annotated[
    int | None, typer.Option(help="Processes that share the work, one per GPU or part of the CPU; default 1.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting of those below, as NAME=VALUE; repeat it.")]
Full = Annotated[bool, typer.Option("--full", help="Every table.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
OPTIONS = {"tokens", "device", "dtype", "seed", "workers"}
KEPT = "Options that are left out are those of the study that is there already."


class StudyCommand(TyperCommand):
    """A command whose help ends with what `--set` takes, looked up when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from rich.markup import escape

        from studies.catalog import find_study
        from studies.runs.recipe_file import describe_settings

        lines = describe_settings(find_study(str(self.name)).config, OPTIONS)
        self.epilog = "\n\n".join(["Settings for --set (default):", *map(escape, lines)])
        super().format_help(ctx, formatter)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from studies.catalog import STUDIES

    for study in STUDIES.values():
        if study.of_saes:
            app.command(study.name, cls=StudyCommand, help=f"{study.question}\n\n{KEPT}")(
                command(_study_command(study.name))
            )
    app.command("all", help="Every study of the current run, and its report.")(command(everything))


def _study_command(name: str) -> Any:
    def study(
        saes: Saes = None,
        corpus: CorpusOption = None,
        out: Out = None,
        run: Run = None,
        model: Model = None,
        own: Own = None,
        tokens: Tokens = None,
        device: Device = None,
        dtype: Dtype = None,
        seed: Seed = None,
        workers: Workers = None,
        settings: Set = None,
        full: Full = False,
        as_json: Json = False,
    ) -> None:
        from faithful.base.errors import FaithfulError
        from faithful.base.quantities import parse_count
        from faithful.store.places import corpora_in
        from studies.catalog import find_study
        from studies.runs.recipe_file import read_values

        sources = [_place(one) for one in saes] if saes else [str(saes_of(run))]
        pairs = pairs_of(settings)
        for twice in OPTIONS & pairs.keys():
            raise FaithfulError(f"{twice} is an option of its own; write --{twice} {pairs[twice]} without --set.")
        further = read_values(find_study(name).config, pairs, f"--set of {name}", OPTIONS)
        stated = {
            "saes": tuple(sources),
            "corpora": tuple(one for folder in corpus for one in corpora_in(folder)) if corpus else None,
            "model": model,
            "own": own,
            "tokens": parse_count(tokens) if tokens else None,
            "device": device,
            "dtype": dtype,
            "seed": seed,
            "workers": workers,
        }
        _do(name, out or _folder(sources, run, name), stated | further, as_json, full=full)

    study.__name__ = name
    return study


def everything(run: Run = None, device: Device = None, seed: Seed = None, as_json: Json = False) -> None:
    """Every study of a run, as it was told before, else with its defaults; then the report."""
    from faithful.cli.corpus import folders_of
    from studies.catalog import STUDIES
    from studies.report.write import ReportConfig, write_report

    saes = saes_of(run)
    home = saes.parent
    found = {}
    for study in STUDIES.values():
        inputs = {"saes": (saes,)} if study.of_saes else {"folders": tuple(folders_of(run))}
        stated = inputs | {"device": device, "seed": seed}
        found[study.name] = _do(study.name, home / "studies" / study.name, stated, as_json, last=False)
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


def _place(source: str) -> str:
    """What a place of SAEs stands for: of a run the folder of its SAEs; a place on the Hub as it is."""
    from faithful.store.places import saes_in

    place = Path(source)
    return str(saes_in(place)) if place.is_dir() or "/" not in source else source


def settle(name: str, out: Path, stated: dict[str, Any]) -> Any:
    """What a study is told: what is stated (None is not), the rest as the study in its folder; says on stderr what."""
    from studies.catalog import find_study

    wish, kept = find_study(name).configure(out, {key: value for key, value in stated.items() if value is not None})
    if kept:
        shown = {key: ",".join(map(str, value)) if isinstance(value, tuple) else value for key, value in kept.items()}
        told = ", ".join(f"{key} {value}" for key, value in shown.items())
        say(f"As the study in {out} was told: {told}; state an option to change it.")
    return wish


def _do(
    name: str, out: Path, stated: dict[str, Any], as_json: bool, last: bool = True, full: bool = False
) -> dict[str, Any]:
    from studies.catalog import find_study

    found, wish = find_study(name), settle(name, out, stated)
    with progress(quiet=as_json) as report:
        study = found.run(wish, report)
    summary: dict[str, Any] = study.summary | {"folder": str(study.folder)}
    missing = summary.get("missing_corpora")
    if missing:
        say(
            f"Not in the panel: held-out text of {', '.join(missing)}, which is not where it was; name it with --corpus."
        )
    if as_json:
        if last:
            print_json(summary)
        return summary
    for note in found.warnings(study.summary):
        say(note)
    for table in found.tables(study.summary, full):
        print_table(table.title, table.rows, table.header)
    if found.details and not full:
        say("Floors and the rest: --full.")
    for contrast in study.summary["contrasts"]:
        if contrast.get("headline"):
            say(contrast["sentence"])
    say(f"Figures and results.parquet: {study.folder}")
    if last:
        say(f"Next: {following(study.folder, 'faithful report')}")
    return summary


def _folder(sources: list[str], run: str | None, name: str) -> Path:
    """Where a study goes: the run named, else the run that the first SAEs lie in, else beside them; of SAEs from the Hub the
    run called as their repository.

    Raises:
        FaithfulError: that run has SAEs, and these are others or only some of them.
    """
    from faithful.base.errors import FaithfulError
    from faithful.store.places import run_folder
    from faithful.store.saes import sae_folders

    home = run_folder(run) if run else _home(sources[0])
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


def _home(source: str) -> Path:
    """The folder of the run that SAEs lie in, else the folder that they lie in; of `USER/REPO/place` `runs/REPO`."""
    from faithful.store.places import run_folder, run_name

    place = Path(source)
    if not place.is_dir():
        return run_folder(run_name("/".join(source.split("/")[:2])))
    parents = [place.resolve(), *place.resolve().parents]
    return next((parent for parent in parents if parent.name == "saes"), parents[0]).parent


def pairs_of(settings: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` options as a table."""
    from faithful.base.errors import FaithfulError

    for one in settings or ():
        if "=" not in one:
            raise FaithfulError(f"'{one}' is no setting; write --set NAME=VALUE.")
    return dict(one.split("=", 1) for one in settings or ())
