"""`faithful run RECIPE`, `faithful report [RUN]` and `faithful browse [RUN]`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from faithful.cli.adapter import Explained, Stated, configured, pairs_of
from faithful.cli.output.next_step import next_step
from faithful.cli.shared import Assume, DryRun, Json, RayAddress, Where, refuse_assumptions, refuse_executor, working
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from studies.browse.config import BrowseConfig
from studies.report.config import ReportConfig, RunConfig


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run", cls=Explained)(command(configured(run)))
    app.command("report", cls=Explained)(command(configured(report)))
    app.command("browse", cls=Explained)(command(configured(browse)))


def run(
    config: RunConfig,
    executor: Where = "local",
    ray: RayAddress = None,
    dry_run: DryRun = False,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Generate, add, train, study and report, as a recipe says; what is done is not done again."""
    from faithful.base.quantities import format_seconds
    from faithful.hub.config import PublishConfig
    from faithful.store.places import run_folder
    from studies.runs.recipe_file import load_recipe

    found = load_recipe(config.recipe, pairs_of(config.settings))
    folder = run_folder(config.run or found.name)
    refuse_assumptions(assume, dry_run)
    refuse_executor(executor, ray)
    if dry_run:
        with _options_of_run():
            _dry_run(found, folder, config.device, assume, as_json, executor == "ray")
        return
    from studies.runs.recipe import enough_seeds, run_recipe

    if not enough_seeds(found) and not as_json:
        say(f"{len(found.seeds)} seeds are too few for verdicts; the studies will say so.")
    with _options_of_run(), working(executor, ray), progress(quiet=as_json) as told:
        result = run_recipe(found, folder, told, config.device)
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
    say(f"Next: open {result.report}, or {command_line(PublishConfig, path=folder, name='USER/REPO')}")


@contextmanager
def _options_of_run() -> Iterator[None]:
    """What steps say of their own commands' `--out`, which is `--run` here."""
    from faithful.base.errors import FaithfulError

    try:
        yield
    except FaithfulError as error:
        raise FaithfulError(str(error).replace("another --out", "another --run")) from error


def _dry_run(found: Any, folder: Path, device: str | None, assume: str | None, as_json: bool, on_cluster: bool) -> None:
    from studies.runs.forecast import COST_HEADER, cost_rows, costs
    from studies.runs.recipe import done_steps

    estimates = costs(
        found, folder, device, done_steps(found, folder, device, on_cluster or assume is not None), assume
    )
    if as_json:
        print_json({"folder": str(folder), "steps": [vars(estimate) for estimate in estimates]})
        return
    print_table(f"Dry run of {found.name}: nothing was written", cost_rows(estimates), COST_HEADER)


def report(stated: Stated[ReportConfig], as_json: Json = False) -> None:
    """Write one self-contained page about a run."""
    from faithful.store.places import current_run
    from studies.report.write import write_report

    run = current_run(stated.values.get("run"))
    path = write_report(stated.build(run=run))
    if as_json:
        print_json({"report": str(path)})
    else:
        say(f"Report: {path}")
        say(f"Next: {next_step(run)}")


def browse(stated: Stated[BrowseConfig], as_json: Json = False) -> None:
    """Write a folder of pages over every latent of a run's SAEs, to open from a disk or to send to the Hub as a Space."""
    from faithful.base.quantities import format_bytes
    from faithful.store.places import current_run
    from studies.browse import write

    run = current_run(stated.values.get("run"))
    with progress(quiet=as_json) as report:
        done = write.browse(stated.build(run=run), report)
    if as_json:
        missing = [{"what": what, "command": line} for what, line in done.missing]
        sizes = {"saes": done.saes, "latents": done.latents, "bytes": done.bytes}
        print_json({"page": str(done.page), **sizes, "missing": missing})
        return
    say(f"{done.latents:,} latents of {done.saes} SAEs, {format_bytes(done.bytes)}: {done.folder}")
    for what, line in done.missing:
        say(f"Not on the pages: {what}; `{line}` adds it.")
    say(f"Next: open {done.page}")
