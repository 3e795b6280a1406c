"""What several commands have besides their configuration."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")]
Assume = Annotated[
    str | None,
    typer.Option(help="With --dry-run: forecast for this GPU, h100, h200, a100, l40s, 4090 or 3090, whatever is here."),
]
Run = Annotated[str | None, typer.Option(help="Run to take from what is not named, and to write to.")]


def refuse_assumptions(assume: str | None, dry_run: bool) -> None:
    """Refuse an assumed GPU for real work, and one that is not known.

    Raises:
        FaithfulError: either.
    """
    if assume is None:
        return
    from faithful.base.errors import FaithfulError
    from faithful.base.gpus import known_gpu

    known_gpu(assume)
    if not dry_run:
        raise FaithfulError("--assume is for forecasts; add --dry-run, or leave it out.")
