"""`faithful corpus list`."""

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING

import typer

from faithful.cli.shared import Json
from faithful.cli.show import command, print_json, print_table, say

if TYPE_CHECKING:
    from generation.sources.source import Source

HEADER = ("name", "what", "repo, config/split", "licence")
WIDTH = 26
"""Of what a set is: leaves room for the longest Hub id in one piece."""


def register(app: typer.Typer) -> None:
    """Add the command to `faithful corpus`."""
    app.command("list")(command(sources_list))


def sources_list(as_json: Json = False) -> None:
    """List the comparison corpora known by name."""
    from generation.sources.resolve import catalog

    if as_json:
        print_json({source.name: _facts(source) for source in catalog()})
        return
    print_table("Comparison corpora", [_row(source) for source in catalog()], HEADER)
    say("A row is a document unless it says passages; a question mark: not verified. Files and Hub ids work too.")
    say("Columns, templates, revisions and remarks: --json.")
    say("Next: faithful corpus add fineweb --for MODEL --tokens 10M")


def _facts(source: "Source") -> Mapping[str, object]:
    """What the catalog states, without what only resolving finds out."""
    from dataclasses import asdict

    facts = asdict(source) | {
        "data_files": source.data_files if source.kind in ("hub", "package") else source.file_names()
    }
    return {name: value for name, value in facts.items() if name not in ("name", "sha256", "root", "builder")}


def _row(source: "Source") -> tuple[str, ...]:
    doubt = "?" if "licence" in source.unverified else ""
    licence = (source.licence or "none stated").replace(" + ", ", ") + doubt
    part = "/".join(filter(None, (source.config, source.split)))
    about = source.about + (", in passages" if source.unit == "passage" else "")
    return (
        source.name,
        fill(f"{about} ({source.size})" if source.size else about, WIDTH),
        f"{source.repo}\n{part}" if source.repo else source.package or source.kind,
        licence,
    )
