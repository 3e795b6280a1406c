"""`faithful run RECIPE` and `faithful report [RUN]`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.assume import Assume, refuse_assumptions
from faithful.cli.output.next_step import next_step
from faithful.cli.show import command, print_json, print_table, progress, say

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(command(run))
    app.command("report")(command(report))


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a TOML file.")],
    run_name: Annotated[str | None, typer.Option("--run", help="Run to write to; default: the recipe's name.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting in place of the recipe's, as train.d_sae=512.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what each step would take; do nothing.")] = False,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Generate, add, train, study and report, as a recipe says; what is done is not done again."""
    from faithful.base.quantities import format_seconds
    from faithful.cli.study_saes import pairs_of
    from faithful.store.places import run_folder
    from studies.runs.recipe_file import load_recipe

    found = load_recipe(recipe, pairs_of(settings))
    folder = run_folder(run_name or found.name)
    refuse_assumptions(assume, dry_run)
    if dry_run:
        with _options_of_run():
            _dry_run(found, folder, device, assume, as_json)
        return
    from studies.runs.recipe import enough_seeds, run_recipe

    if not enough_seeds(found) and not as_json:
        say(f"{len(found.seeds)} seeds are too few for verdicts; the studies will say so.")
    with _options_of_run(), progress(quiet=as_json) as told:
        result = run_recipe(found, folder, told, device)
    if as_json:
        print_json(
            {"folder": str(folder), "done": result.done, "skipped": result.skipped, "report": str(result.report)}
        )
        return
    if result.done:
        print_table("Steps", [(name, format_seconds(seconds)) for name, seconds in result.done.items()])
        say(f"Took {format_seconds(sum(result.done.values()))}.")
    else:
        say(f"All {len(result.skipped)} steps of {folder} are done already: nothing to do.")
    say(f"Report: {result.report}")
    say(f"Next: open {result.report}, or faithful publish run {folder} USER/REPO")


@contextmanager
def _options_of_run() -> Iterator[None]:
    """What steps say of their own commands' `--out`, which is `--run` here."""
    from faithful.base.errors import FaithfulError

    try:
        yield
    except FaithfulError as error:
        raise FaithfulError(str(error).replace("another --out", "another --run")) from error


def _dry_run(found: Any, folder: Path, device: str | None, assume: str | None, as_json: bool) -> None:
    from studies.runs.forecast import COST_HEADER, cost_rows, costs
    from studies.runs.recipe import done_steps

    estimates = costs(found, folder, device, done_steps(found, folder, None if assume else device), assume)
    if as_json:
        print_json({"folder": str(folder), "steps": [estimate.to_dict() for estimate in estimates]})
        return
    print_table(f"Dry run of {found.name}: nothing was written", cost_rows(estimates), COST_HEADER)


def report(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; default: the current one.")] = None,
    out: Annotated[Path | None, typer.Option(help="File; default RUN/report.html.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown instead.")] = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained page about a run."""
    from faithful.store.places import current_run
    from studies.report.write import ReportConfig, write_report

    run = current_run(name)
    path = write_report(ReportConfig(run=run, out=out, markdown=markdown))
    if as_json:
        print_json({"report": str(path)})
    else:
        say(f"Report: {path}")
        say(f"Next: {next_step(run)}")
