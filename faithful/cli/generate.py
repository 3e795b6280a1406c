"""`faithful generate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.assume import Assume, refuse_assumptions
from faithful.cli.output.next_step import following
from faithful.cli.show import command, print_json, print_table, progress, say

Sampling = {"rich_help_panel": "Sampling (default: the model's own distribution)"}
Engine = {"rich_help_panel": "Engine"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(command(generate))


def generate(
    model: Annotated[
        str | None, typer.Option(help="Preset name, Hub id or folder; default: the embedded `tiny`.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Training tokens: 20000, 20k, 100M, 1e8; default: the preset's.")
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="Tokens of the split `test`; default 5 %, 20k to 2M.")] = None,
    out: Annotated[Path | None, typer.Option(help="Corpus folder; default runs/MODEL/corpora/own….")] = None,
    run: Annotated[str | None, typer.Option(help="Run to put the corpus in; default runs/MODEL.")] = None,
    seed: Annotated[int | None, typer.Option(help="Run seed; default 0.")] = None,
    temperature: Annotated[float | None, typer.Option(**Sampling, help="Default 1.")] = None,
    top_p: Annotated[float | None, typer.Option(**Sampling, help="Default 1: nothing truncated.")] = None,
    top_k: Annotated[int | None, typer.Option(**Sampling, help="Default 0: nothing truncated.")] = None,
    min_p: Annotated[float | None, typer.Option(**Sampling, help="Default 0: nothing truncated.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(**Sampling, help="Default 1: none.")] = None,
    max_tokens: Annotated[int | None, typer.Option(**Sampling, help="Longest sample; default context − 1.")] = None,
    mode: Annotated[str | None, typer.Option(**Sampling, help="documents (stop at end-of-text) or streams.")] = None,
    mask_unmapped: Annotated[
        bool | None,
        typer.Option("--mask-unmapped/--no-mask-unmapped", **Sampling, help="Never draw ids without a string."),
    ] = None,
    greedy: Annotated[
        bool | None, typer.Option("--greedy", **Sampling, help="Allow settings without randomness.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Hub revision of the model; resolved to a commit.")] = None,
    dtype: Annotated[str | None, typer.Option(**Engine, help="float32, bfloat16 or float16.")] = None,
    bos: Annotated[int | None, typer.Option(help="Id of the start token, where the model names none.")] = None,
    engine: Annotated[str | None, typer.Option(**Engine, help="auto, vllm or transformers.")] = None,
    device: Annotated[str | None, typer.Option(**Engine, help="cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(**Engine, help="CPU threads per worker; default 1.")] = None,
    batch: Annotated[int | None, typer.Option(**Engine, help="Samples in flight per worker.")] = None,
    shard_rows: Annotated[int | None, typer.Option(**Engine, help="Samples per shard.")] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic/--rolling", **Engine, help="Drain at shard borders, promise bytes.")
    ] = None,
    workers: Annotated[int | None, typer.Option(**Engine, help="Processes; default one per GPU or core.")] = None,
    accept_engine_change: Annotated[
        bool,
        typer.Option(
            "--accept-engine-change",
            **Engine,
            help="Go on with another engine, version, --device or --batch than before; bytes are then no longer promised.",
        ),
    ] = False,
    certify_tokens: Annotated[str | None, typer.Option(help="Tokens to certify at the end; 0 for none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")] = False,
    assume: Assume = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Sample a corpus from a model itself, from BOS alone; certify it and write its card.

    Running the command again completes or extends the corpus; a corpus made otherwise is refused.
    """
    from faithful.base.quantities import parse_count

    stated: dict[str, Any] = dict(locals())
    for name in ("dry_run", "assume", "as_json", "parse_count"):
        stated.pop(name)
    stated["tokens"] = parse_count(tokens) if tokens is not None else None
    stated["held_out"] = parse_count(held_out) if held_out is not None else None
    stated["certify_tokens"] = (
        None if certify_tokens is None else 0 if certify_tokens == "0" else parse_count(certify_tokens)
    )
    refuse_assumptions(assume, dry_run)
    if not (dry_run or as_json):
        say(f"Reading {model or 'tiny'} and starting its engine …")
    from generation.own.prepare import GenerateConfig

    config = GenerateConfig(**stated)
    if dry_run:
        _dry_run(config, assume, as_json)
        return
    from generation.own.generate import generate as run_generate

    with progress(quiet=as_json) as report:
        result = run_generate(config, report)
    say(result.note)
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "changed": result.changed,
                "tokens": {split: result.manifest.tokens(split) for split in result.manifest.shards},
                "documents": {split: result.manifest.rows(split) for split in result.manifest.shards},
                "identity": result.manifest.identity,
                "certificate": result.manifest.certificate,
                "statistics": result.manifest.statistics,
            }
        )
        return
    _summary(result.folder)
    say(f"Next: {following(result.folder, f'faithful corpus stats {result.folder}')}")


def _dry_run(config: Any, assume: str | None, as_json: bool) -> None:
    from faithful.base.quantities import format_bytes, format_count, format_seconds
    from generation.own.dry_run import dry_run

    plan = dry_run(config, assume)
    if as_json:
        print_json(plan.to_dict())
        return
    flight = f"{plan.concurrency} per worker (limited by the cache)" if plan.fits else "none: it does not fit"
    rows = [
        ("model", f"{plan.model} ({plan.revision})"),
        ("engine", f"{plan.engine}, {plan.dtype}, {plan.workers} worker(s) on {plan.device}"),
        ("tokens", f"{format_count(plan.train_tokens)} training + {format_count(plan.test_tokens)} held-out"),
        ("longest sample", f"{plan.max_tokens} tokens after BOS"),
        ("samples, shards", f"about {format_count(plan.samples)} in {format_count(plan.shards)} shards"),
        ("disk", f"about {format_bytes(plan.disk_bytes)} at {plan.folder}"),
        ("weights", format_bytes(plan.weight_bytes)),
        ("key–value cache", f"{format_bytes(plan.kv_bytes_per_token)} per token"),
        ("memory per worker", f"about {format_bytes(plan.memory_bytes)}"),
        ("samples in flight", flight),
        ("speed", f"about {format_count(plan.tokens_per_second)} tokens/s (estimate)"),
        ("time", f"about {format_seconds(plan.seconds)} (estimate)"),
    ]
    print_table("Dry run: nothing was written", rows)
    if plan.note:
        say(plan.note)


def _summary(folder: Path) -> None:
    from faithful.store.corpus import Corpus
    from generation.cards.own import certificate_rows, sampling_rows, test_rows
    from generation.cards.parts import sample_texts, statistics_rows
    from generation.writing.identity import sampling_of

    corpus = Corpus(folder)
    manifest = corpus.manifest
    print_table("Samples", [(str(place), text) for place, text in enumerate(sample_texts(corpus, 3))], ("#", "text"))
    print_table("Sampling", sampling_rows(manifest, sampling_of(manifest)))
    if manifest.statistics:
        print_table("Statistics", statistics_rows(manifest.statistics))
    if manifest.certificate:
        print_table("Certificate", certificate_rows(manifest.certificate))
        print_table("Tests", list(test_rows(manifest.certificate)), ("test", "statistic", "p", "p (Holm)"))
        say(f"Verdict: {manifest.certificate['verdict']}: {manifest.certificate['reason']}.")
    elif sampling_of(manifest).deterministic:
        say("It has no certificate: the sampling has no randomness, so there is nothing to certify.")
    else:
        say(f"It has no certificate; `faithful corpus certify {folder}` makes one.")
    say(f"Card: {folder / 'README.md'}")
