"""`faithful study …`."""

from pathlib import Path
from typing import Annotated

import typer

from faithful.cli.output.next_step import following
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.cli.study_saes import settle

app = typer.Typer(help="Compare corpora, and the SAEs trained on them.", no_args_is_help=True)


@app.command()
@command
def corpora(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Corpora, or runs; default: those of the current run.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Preset name, Hub id or folder; default: the corpora's.")] = None,
    own: Annotated[Path | None, typer.Option(help="The model's own T 1 corpus to hold them against.")] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Tokens to score each; default 100k on a CPU, 1M on a GPU.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Tokens for diversity; default the smallest corpus.")] = None,
    temperatures: Annotated[str | None, typer.Option(help="Sweep: 0.7,0.85,1,1.15.")] = None,
    top_ps: Annotated[str | None, typer.Option(help="Sweep: 0.9,0.95,1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default studies/corpora of the run.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to take corpora from and write to.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of the scoring pass.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the bootstraps and the randomised transform; default 0.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """How far does each corpus lie outside the model, and how diverse is it?"""
    from faithful.base.quantities import parse_count, parse_numbers
    from faithful.cli.corpus import folders_of
    from faithful.store.places import corpora_in
    from studies.catalog import find_study

    chosen = [one for folder in folders for one in corpora_in(folder)] if folders else folders_of(run)
    stated = {
        "folders": tuple(chosen),
        "model": model,
        "own": own,
        "tokens": parse_count(tokens) if tokens else None,
        "budget": parse_count(budget) if budget else None,
        "temperatures": parse_numbers(temperatures, "--temperatures") if temperatures else None,
        "top_ps": parse_numbers(top_ps, "--top-ps") if top_ps else None,
        "device": device,
        "dtype": dtype,
        "seed": seed,
    }
    wish = settle("corpora", out or study_folder(chosen[0], run, "corpora"), stated)
    with progress(quiet=as_json) as report:
        study = find_study("corpora").run(wish, report)
    if as_json:
        print_json(study.summary | {"folder": str(study.folder)})
        return
    for table in find_study("corpora").tables(study.summary):
        print_table(table.title, table.rows, table.header)
    if study.taken:
        say(f"Taken from an earlier run: {', '.join(study.taken)}.")
    say(f"Figures and results.parquet: {study.folder}")
    named = "".join(f" --corpus {folder}" for folder in folders or ()) or (f" --run {run}" if run else "")
    say(f"Next: {following(study.folder, f'faithful train{named}')}")


def study_folder(corpus: Path, run: str | None, name: str) -> Path:
    """Where a study goes: the run named, else the run that the first corpus lies in, else beside that corpus."""
    from faithful.store.places import run_folder

    if run:
        return run_folder(run) / "studies" / name
    parent = corpus.resolve().parent
    return (parent.parent if parent.name == "corpora" else parent) / "studies" / name
