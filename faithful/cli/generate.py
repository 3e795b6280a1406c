"""`faithful generate`, and `faithful corpus join` of what it made in parts."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.adapter import Explained, configured
from faithful.cli.output.next_step import following
from faithful.cli.shared import (
    Assume,
    DryRun,
    Json,
    Part,
    RayAddress,
    Where,
    array_line,
    on_executor,
    refuse_assumptions,
    refuse_executor,
    working,
)
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from generation.configs.generate import GenerateConfig, JoinConfig

Shards = Annotated[
    str | None, typer.Option(help="With --part: shards of the whole corpus, as `corpus join` prints them.")
]


def register(app: typer.Typer) -> None:
    """Add `generate`."""
    app.command("generate", cls=Explained)(command(configured(generate)))


def generate(
    config: GenerateConfig,
    part: Part = None,
    shards: Shards = None,
    executor: Where = "local",
    ray: RayAddress = None,
    dry_run: DryRun = False,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Sample a corpus from a model itself, from BOS alone; certify it and write its card.

    Running the command again completes or extends the corpus; a corpus made otherwise is refused.
    """
    refuse_assumptions(assume, dry_run)
    refuse_executor(executor, ray)
    wish = _wish(part, shards)
    if not (dry_run or as_json):
        say(f"Reading {config.model or 'tiny'} and starting its engine …")
    if dry_run:
        where = (f" --shards {shlex.quote(shards)}" if shards else "") + on_executor(executor, ray)
        _dry_run(config, assume, as_json, wish, where)
        return
    from generation.own.generate import generate as run_generate

    with working(executor, ray), progress(quiet=as_json) as report:
        result = run_generate(config, report, wish)
    _show(result, as_json, wish)


def join(config: JoinConfig, as_json: Json = False) -> None:
    """Make a corpus of the parts of it that `faithful generate --part` made."""
    from generation.own.join import join as run_join

    with progress(quiet=as_json) as report:
        _show(run_join(config, report), as_json)


def _wish(part: str | None, shards: str | None) -> Any:
    """The part that was asked for, None for all."""
    from faithful.base.errors import FaithfulError
    from faithful.base.quantities import parse_integers, parse_part
    from generation.own.part import PartWish

    if part is None:
        if shards is not None:
            raise FaithfulError("--shards is for a part; add --part, or leave it out.")
        return None
    place, numbers = parse_part(part), parse_integers(shards, "--shards")
    if shards is not None and len(numbers) != 2:
        raise FaithfulError(f"'{shards}' is no two numbers of shards; write --shards as `corpus join` prints it.")
    return PartWish(place, (numbers[0], numbers[1]) if numbers else None)


def _show(result: Any, as_json: bool, part: Any = None) -> None:
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
    if part:
        line = command_line(JoinConfig, parts=(result.folder, Path("OTHERS")), out=Path("CORPUS"))
        say(f"Next, when all parts are there: {line}")
        return
    from generation.configs.stats import StatsConfig

    _summary(result.folder)
    say(f"Next: {following(result.folder, command_line(StatsConfig, folder=result.folder))}")


def _dry_run(config: Any, assume: str | None, as_json: bool, part: Any, where: str) -> None:
    from faithful.base.quantities import format_bytes, format_count, format_seconds
    from generation.own.dry_run import dry_run

    plan = dry_run(config, assume, part)
    line = _array_line(config, part, plan, where) if part and not config.out else ""
    if as_json:
        print_json({**plan.to_dict(), **({"sbatch": line} if line else {})})
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
    if part:
        alone = "With --out each part needs a folder of its own; without it --dry-run prints the line for all of them."
        say(line or alone)


def _array_line(config: Any, part: Any, plan: Any, where: str) -> str:
    """The line for SLURM of all parts, of the commit that a branch of the Hub stands at."""
    if config.revision and not plan.revision.startswith("sha256:"):
        config = replace(config, revision=plan.revision)
    gpus = plan.workers * (config.tensor_parallel or 1) if plan.device != "cpu" else 0
    return array_line(command_line(config) + where, part.place, gpus, plan.seconds)


def _summary(folder: Path) -> None:
    from faithful.store.corpus import Corpus
    from generation.cards.own import certificate_rows, sampling_rows, test_rows
    from generation.cards.parts import sample_texts, statistics_rows
    from generation.configs.certify import CertifyConfig
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
        say(f"It has no certificate; `{command_line(CertifyConfig, folder=folder)}` makes one.")
    say(f"Card: {folder / 'README.md'}")
