"""`faithful corpus add`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.output.next_step import following
from faithful.cli.show import command, print_json, print_table, progress, say

Reading = {"rich_help_panel": "How to read the source"}
Making = {"rich_help_panel": "How documents are made"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("add")(command(add))


def add(
    name: Annotated[str, typer.Argument(help="Name from `faithful corpus list`, file, folder, or Hub id (org/name).")],
    model: Annotated[
        str | None,
        typer.Option("--for", help="Model whose tokens it becomes: preset, Hub id or folder; default `tiny`."),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Training tokens: 20000, 20k, 100M; default the preset's, or all there is.")
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="Tokens of the split `test`; default 5 %, 20k to 2M.")] = None,
    out: Annotated[Path | None, typer.Option(help="Corpus folder; default runs/MODEL/corpora/NAME.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to put the corpus in; default runs/MODEL.")] = None,
    config: Annotated[str | None, typer.Option(**Reading, help="Config of a Hub set.")] = None,
    split: Annotated[str | None, typer.Option(**Reading, help="Split to read; default train.")] = None,
    revision: Annotated[
        str | None, typer.Option(**Reading, help="Revision of a Hub set; resolved to a commit.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(**Reading, help="Column of the text; several for a template (a,b).")
    ] = None,
    template: Annotated[
        str | None, typer.Option(**Reading, help="Named template or format string that makes text of the columns.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(**Reading, help="document (a row each) or passage (rows are cut into passages).")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(**Reading, help="Tasks to leave out by name; none for none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(**Making, help="Of the order of documents; default 0.")] = None,
    context: Annotated[
        int | None, typer.Option(**Making, help="Tokens per context, BOS included; default the preset's.")
    ] = None,
    window: Annotated[int | None, typer.Option(**Making, help="Documents shuffled together; default 16,384.")] = None,
    shard_rows: Annotated[int | None, typer.Option(**Making, help="Documents per shard; default 4,096.")] = None,
    bos: Annotated[int | None, typer.Option(help="Id of the start token, where the model names none.")] = None,
    model_revision: Annotated[str | None, typer.Option(help="Hub revision of the model.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Bring a comparison corpus in: same schema, tokenizer, contexts and budget as a sampled one.

    Running the command again completes or extends the corpus; a corpus made otherwise is refused.
    """
    from faithful.base.quantities import parse_count
    from generation.external.add import add as run_add
    from generation.external.prepare import AddConfig

    wish = AddConfig(
        name=name,
        model=model,
        tokens=parse_count(tokens) if tokens is not None else None,
        held_out=parse_count(held_out) if held_out is not None else None,
        out=out,
        run=run,
        seed=seed,
        context=context,
        bos=bos,
        model_revision=model_revision,
        config=config,
        split=split,
        revision=revision,
        columns=_names(column),
        template=template,
        unit=unit,
        leave_out=_names(leave_out),
        window=window,
        shard_rows=shard_rows,
    )
    if dry_run:
        _dry_run(wish, as_json)
        return
    with progress(quiet=as_json) as report:
        result = run_add(wish, report)
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
    if manifest.kind == "external":
        _summary(result.folder)
    say(f"Next: {following(result.folder, f'faithful corpus stats {result.folder}')}")


def _dry_run(wish: Any, as_json: bool) -> None:
    from generation.cards.external import source_rows
    from generation.external.add import plan_add

    plan = plan_add(wish)
    if as_json:
        print_json(
            {"folder": str(plan.folder), "tokens": plan.tokens, "there": plan.there, "identity": plan.manifest.identity}
        )
        return
    rows = [("folder", str(plan.folder))]
    rows += [
        (f"{split} tokens", f"{tokens:,}, {plan.there[split]:,} of them there") for split, tokens in plan.tokens.items()
    ]
    if plan.manifest.kind == "external":
        rows += [row for row in source_rows(plan.manifest) if row[0] != "texts left out"]
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


def _names(values: list[str] | None) -> tuple[str, ...] | None:
    """A list-valued option: repeated, or with commas; `none` is the empty list, and nothing stated is None."""
    if values is None:
        return None
    names: list[Any] = [part.strip() for value in values for part in value.split(",")]
    return tuple(name for name in names if name) if names != ["none"] else ()
