"""`faithful corpus add | list`."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

from faithful.cli.adapter import Explained, configured
from faithful.cli.output.next_step import following
from faithful.cli.shared import DryRun, Json
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from generation.configs.add import AddConfig
from generation.configs.certify import CertifyConfig
from generation.configs.stats import StatsConfig

if TYPE_CHECKING:
    from generation.sources.source import Source

HEADER = ("name", "what", "repo, config/split", "licence")
WIDTH = 26
"""Of what a set is: leaves room for the longest Hub id in one piece."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("add", cls=Explained)(command(configured(add)))
    app.command("list")(command(sources))


def add(config: AddConfig, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring a corpus in: text to compare a sampled one with, or samples of the model that others drew (--ids, --temperature).

    Running the command again completes or extends the corpus; a corpus made otherwise is refused.
    """
    from generation.external.add import add as run_add
    from generation.writing.identity import FOREIGN

    if dry_run:
        _dry_run(config, as_json)
        return
    with progress(quiet=as_json) as report:
        result = run_add(config, report)
    say(result.note)
    manifest = result.manifest
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "changed": result.changed,
                "tokens": {split: manifest.tokens(split) for split in manifest.shards},
                "documents": {split: manifest.rows(split) for split in manifest.shards},
                "identity": manifest.identity,
                "left_out": manifest.provenance.get("left_out"),
                "statistics": manifest.statistics,
            }
        )
        return
    if manifest.kind != "derived":
        _summary(result.folder)
    if manifest.kind == FOREIGN and manifest.certificate is None:
        say(f"Next: {command_line(CertifyConfig, folder=result.folder)}")
        return
    say(f"Next: {following(result.folder, command_line(StatsConfig, folder=result.folder))}")


def _dry_run(config: Any, as_json: bool) -> None:
    from generation.cards.external import source_rows
    from generation.external.add import plan_add

    plan = plan_add(config)
    if as_json:
        print_json(
            {"folder": str(plan.folder), "tokens": plan.tokens, "there": plan.there, "identity": plan.manifest.identity}
        )
        return
    rows = [("folder", str(plan.folder))]
    rows += [
        (f"{split} tokens", f"{tokens:,}, {plan.there[split]:,} of them there") for split, tokens in plan.tokens.items()
    ]
    if "reading" in plan.manifest.provenance:
        rows += [row for row in source_rows(plan.manifest) if row[0] not in ("texts left out", "counted")]
    else:
        rows.append(
            ("published", f"{plan.manifest.kind} corpus of {plan.manifest.identity['model']['name']}, taken as it is")
        )
    print_table("Plan", rows)
    say("Nothing was written. Next: the same command without --dry-run")


def _summary(folder: Path) -> None:
    from faithful.store.corpus import Corpus
    from generation.cards.external import source_rows
    from generation.cards.parts import sample_texts, statistics_rows

    corpus = Corpus(folder)
    print_table("Documents", [(str(place), text) for place, text in enumerate(sample_texts(corpus, 3))], ("#", "text"))
    print_table("Source", source_rows(corpus.manifest))
    print_table("Statistics", statistics_rows(corpus.manifest.statistics or {}))
    say(f"Card: {folder / 'README.md'}")


def sources(as_json: Json = False) -> None:
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
