"""`faithful train`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.output.next_step import following
from faithful.cli.shared import (
    Assume,
    DryRun,
    Json,
    Part,
    RayAddress,
    Run,
    Where,
    array_line,
    gpus_of,
    on_executor,
    refuse_assumptions,
    refuse_executor,
    working,
)
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from faithful.training.config import TrainConfig


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", cls=Explained)(command(configured(train)))


def train(
    stated: Stated[TrainConfig],
    run: Run = None,
    part: Part = None,
    executor: Where = "local",
    ray: RayAddress = None,
    dry_run: DryRun = False,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Train the whole grid of SAEs of each corpus from one shared forward pass."""
    from faithful.base.quantities import parse_part
    from faithful.cli.corpus import folders_of, home_of
    from faithful.store.places import corpora_in

    refuse_assumptions(assume, dry_run)
    refuse_executor(executor, ray)
    place = None if part is None else parse_part(part)
    named = stated.values.get("corpora")
    corpora = corpora_in(*named) if named else folders_of(run)
    config = stated.build(corpora=tuple(corpora), out=stated.values.get("out") or home_of(corpora[0], run) / "saes")
    if dry_run:
        _dry_run(config, assume, as_json, place, on_executor(executor, ray))
        return
    from faithful.base.quantities import format_seconds
    from faithful.training.forecast import part_seconds, plan_line
    from faithful.training.train import train as run_train

    def announce(plan: Any) -> None:
        if not as_json:
            part_of = f"Part {place}, about {format_seconds(part_seconds(plan, place))} of this: " if place else ""
            say(part_of + plan_line(plan))

    with working(executor, ray), _table(as_json) as report:
        result = run_train(config, report, announce, place)
    cells = [*result.trained, *result.skipped]
    card = _card(result.out) if cells else ""
    if as_json:
        print_json(
            {
                "out": str(result.out),
                "trained": [str(path) for path in result.trained],
                "skipped": [str(path) for path in result.skipped],
                "left": result.left,
            }
        )
        return
    from faithful.cli.output.training_tables import hardly_trained, quality_rows
    from studies.seeds.config import SeedsConfig

    if cells:
        header, rows = quality_rows(cells)
        print_table("SAEs on held-out text: mean ± standard deviation over seeds", rows, header)
    for sentence in filter(None, (result.note, card, *hardly_trained(cells))):
        say(sentence)
    if not result.left:
        say(f"Next: {following(result.out, command_line(SeedsConfig, saes=(result.out,)))}")


def _card(out: Path) -> str:
    """Write the card of the SAEs; a card that cannot be written is no reason to lose what was trained."""
    from faithful.base.errors import FaithfulError
    from faithful.training.card import write_saes_card

    try:
        return f"Card: {write_saes_card(out)}"
    except FaithfulError as error:
        return f"No card was written: {error}"


def _dry_run(config: Any, assume: str | None, as_json: bool, part: Any, where: str) -> None:
    from faithful.training.forecast import longest_part, part_seconds, plan_rows, plan_training

    plan = plan_training(config, assume)
    line: dict[str, Any] = {}
    if part:
        seconds = longest_part(plan, part.of)
        line["sbatch"] = array_line(command_line(config) + where, part, gpus_of(config, assume), seconds)
        line["part_seconds"] = part_seconds(plan, part)
    if as_json:
        print_json({**plan.to_dict(), **line})
        return
    print_table("Dry run: nothing was written", plan_rows(plan))
    if part:
        say(line["sbatch"])


@contextmanager
def _table(quiet: bool) -> Iterator[Any]:
    """A live table with a row per cell on a terminal, lines elsewhere."""
    if quiet or not sys.stderr.isatty():
        with progress(quiet) as report:
            yield report
        return
    from rich.console import Console
    from rich.live import Live

    from faithful.cli.output.training_tables import LiveTable

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        table = LiveTable()
        yield lambda point: live.update(table.told(point, time.monotonic()))
