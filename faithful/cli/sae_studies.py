"""`faithful study seeds | fakes | probes | reconstruction | all`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.show import command, print_json, print_table, progress, say

Saes = Annotated[
    list[str] | None, typer.Argument(help="Folders or Hub places of SAEs; default: those of the current run.")
]
CorpusOption = Annotated[
    list[Path] | None, typer.Option("--corpus", help="Corpus of the panel; repeat it. Default: those trained on.")
]
Out = Annotated[Path | None, typer.Option(help="Folder; default studies/NAME of the run.")]
Run = Annotated[str | None, typer.Option(help="Run to take SAEs from and write to.")]
Model = Annotated[str | None, typer.Option(help="Preset name, Hub id or folder; default: the corpora's.")]
Own = Annotated[str | None, typer.Option(help="Name of the model's own corpus.")]
Tokens = Annotated[str | None, typer.Option(help="Tokens of the panel; default 20k on a CPU, 200k on a GPU.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[str | None, typer.Option(help="Type the model runs in.")]
Seed = Annotated[int, typer.Option(help="Of every random choice of the study.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A further setting, as NAME=VALUE; repeat it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
OPTIONS = {"tokens", "device", "dtype", "seed"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, text in (
        ("seeds", "Do SAEs that differ in their seed find the same features?"),
        ("fakes", "How many features fire on random tokens and not on text?"),
        ("probes", "How much do the features tell about the text?"),
        ("reconstruction", "How well does each SAE rebuild the activations of each corpus?"),
    ):
        app.command(name, help=text)(command(_study_command(name)))
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
        seed: Seed = 0,
        settings: Set = None,
        as_json: Json = False,
    ) -> None:
        from faithful.errors import FaithfulError
        from faithful.quantities import parse_count
        from faithful.recipe_config import read_values
        from studies.catalog import find_study

        sources = [*saes] if saes else [str(saes_of(run))]
        config, _ = find_study(name).load()
        pairs = pairs_of(settings)
        for twice in OPTIONS & pairs.keys():
            raise FaithfulError(f"{twice} is an option of its own; write --{twice} {pairs[twice]} without --set.")
        stated = read_values(config, pairs, f"--set of {name}")
        wish = config(
            saes=tuple(sources),
            out=out or _folder(sources[0], run, name),
            corpora=tuple(corpus or ()),
            model=model,
            own=own,
            tokens=parse_count(tokens) if tokens else None,
            device=device,
            dtype=dtype,
            seed=seed,
            **stated,
        )
        _do(name, wish, as_json)

    study.__name__ = name
    return study


def everything(run: Run = None, device: Device = None, seed: Seed = 0, as_json: Json = False) -> None:
    """Every study of a run with its defaults, then the report."""
    from faithful.cli.corpus import folders_of
    from studies.catalog import STUDIES
    from studies.report import ReportConfig, write_report

    saes = saes_of(run)
    home = saes.parent
    found = {}
    for study in STUDIES.values():
        config, _ = study.load()
        stated = {"out": home / "studies" / study.name, "device": device, "seed": seed}
        wish = config(saes=(saes,), **stated) if study.of_saes else config(folders=tuple(folders_of(run)), **stated)
        found[study.name] = _do(study.name, wish, as_json, last=False)
    path = write_report(ReportConfig(run=home))
    if as_json:
        print_json({"studies": found, "report": str(path)})
    else:
        say(f"Report: {path}")
        say("Next: faithful publish run --help")


def saes_of(run: str | None) -> Path:
    """Folder of the SAEs of the current run; says on stderr which."""
    from faithful.errors import FaithfulError
    from faithful.runs import current_run

    where = current_run(run)
    if not next((where / "saes").glob("*/*/*/cfg.json"), None):
        raise FaithfulError(f"The run {where} holds no SAEs; train some with `faithful train`.")
    say(f"Run {where}: its SAEs")
    return where / "saes"


def _do(name: str, wish: Any, as_json: bool, last: bool = True) -> dict[str, Any]:
    from generation.progress import Progress
    from studies.catalog import find_study

    found = find_study(name)
    _, function = found.load()
    with progress(quiet=as_json) as report:
        told = (lambda s, done, total: report(Progress(s, done, total, "contexts"))) if found.of_saes else report
        study = function(wish, told)
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
    for title, header, rows in found.tables(study.summary):
        print_table(title, rows, header)
    for contrast in study.summary["contrasts"]:
        if contrast.get("headline"):
            say(contrast["sentence"])
    say(f"Figures and results.parquet: {study.folder}")
    if last:
        say("Next: faithful report")
    return summary


def _folder(source: str, run: str | None, name: str) -> Path:
    """Where a study goes: the run named, else the run that the SAEs lie in, else beside them."""
    from faithful.runs import run_folder

    if run:
        return run_folder(run) / "studies" / name
    place = Path(source)
    if not place.is_dir():
        return Path("studies") / name
    parents = [place.resolve(), *place.resolve().parents]
    saes = next((parent for parent in parents if parent.name == "saes"), parents[0])
    return saes.parent / "studies" / name


def pairs_of(settings: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` options as a table."""
    from faithful.errors import FaithfulError

    for one in settings or ():
        if "=" not in one:
            raise FaithfulError(f"'{one}' is no setting; write --set NAME=VALUE.")
    return dict(one.split("=", 1) for one in settings or ())
