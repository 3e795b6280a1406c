"""`faithful browse [RUN]`."""

import typer

from faithful.base.quantities import format_bytes
from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.shared import Json
from faithful.cli.show import command, print_json, progress, say
from studies.browse.config import BrowseConfig


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("browse", cls=Explained)(command(configured(browse)))


def browse(stated: Stated[BrowseConfig], as_json: Json = False) -> None:
    """Write a folder of pages over every latent of a run's SAEs, to open from a disk or to send to the Hub as a Space."""
    from faithful.store.places import current_run
    from studies.browse.write import write_pages

    run = current_run(stated.values.get("run"))
    with progress(quiet=as_json) as report:
        done = write_pages(stated.build(run=run), report)
    if as_json:
        missing = [{"what": what, "command": line} for what, line in done.missing]
        sizes = {"saes": done.saes, "latents": done.latents, "bytes": done.bytes}
        print_json({"page": str(done.page), **sizes, "missing": missing})
        return
    say(f"{done.latents:,} latents of {done.saes} SAEs, {format_bytes(done.bytes)}: {done.folder}")
    for what, line in done.missing:
        say(f"Not on the pages: {what}; `{line}` adds it.")
    say(f"Next: open {done.page}")
