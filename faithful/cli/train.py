"""`faithful train`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.assume import Assume, refuse_assumptions
from faithful.cli.output.next_step import following
from faithful.cli.show import command, print_json, print_table, progress, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(command(train))


def train(
    model: Annotated[str | None, typer.Option(help="Preset name, Hub id or folder; default: the corpora's.")] = None,
    corpus: Annotated[
        list[Path] | None, typer.Option(help="Corpus or run; repeat it. Default: the current run's.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Init seeds: 0-5 or 0,1,42.")] = "0-5",
    layer: Annotated[int | None, typer.Option(help="Layer; default: the preset's.")] = None,
    hook: Annotated[str, typer.Option(help="resid_pre, resid_post, attn_out or mlp_out.")] = "resid_pre",
    d_sae: Annotated[str | None, typer.Option(help="Latents; a list makes a grid.")] = None,
    k: Annotated[str | None, typer.Option(help="Active latents; a list makes a grid.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; default: the preset's.")] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="Stored tokens per corpus; default: as the SAEs there, else one pass, at most the preset's."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the smallest corpus, in place of --tokens.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the SAEs; default runs/NAME/saes.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to take the corpora from and write to.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens per context, BOS included.")] = None,
    layout: Annotated[str, typer.Option(help="aligned or packed.")] = "aligned",
    data_seed: Annotated[int, typer.Option(help="Of the order of the data, the same for all cells.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Activations per step.")] = None,
    buffer: Annotated[int | None, typer.Option(help="Activations kept for mixing.")] = None,
    drop_outliers: Annotated[bool, typer.Option("--drop-outliers", help="Leave out 10 × the median norm.")] = False,
    dtype: Annotated[str | None, typer.Option(help="Type the model runs in.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    eval_tokens: Annotated[str | None, typer.Option(help="Held-out tokens to evaluate on.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, one per GPU.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads per process.")] = None,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="No atomics on a GPU.")] = False,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 10.0,
    variant: Annotated[str, typer.Option(help="What is done otherwise than TopK, by name.")] = "topk",
    parameter: Annotated[list[str] | None, typer.Option(help="Of the variant, NAME=VALUE; repeat it.")] = None,
    log: Annotated[str, typer.Option(help="none, wandb or tensorboard, beside train.jsonl.")] = "none",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")] = False,
    assume: Assume = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Train the whole grid of SAEs of each corpus from one shared forward pass."""
    from faithful.base.quantities import parse_count, parse_integers
    from faithful.cli.corpus import folders_of
    from faithful.store.places import corpora_in

    seed_numbers = parse_integers(seeds, "--seeds")
    widths, actives = parse_integers(d_sae, "--d-sae"), parse_integers(k, "--k")
    budget = parse_count(tokens) if tokens else None
    held_out = parse_count(eval_tokens) if eval_tokens else None
    from faithful.training.config import TrainConfig

    corpora = [one for folder in corpus for one in corpora_in(folder)] if corpus else folders_of(run)
    config = TrainConfig(
        corpora=tuple(corpora),
        out=out or _saes_folder(corpora[0], run),
        model=model,
        seeds=seed_numbers,
        layer=layer,
        hook=hook,
        d_sae=widths,
        k=actives,
        lr=lr,
        tokens=budget,
        epochs=epochs,
        context=context,
        layout=layout,
        data_seed=data_seed,
        batch=batch,
        buffer=buffer,
        drop_outliers=drop_outliers,
        dtype=dtype,
        device=device,
        eval_tokens=held_out,
        workers=workers,
        threads=threads,
        deterministic=deterministic,
        checkpoint_minutes=checkpoint_minutes,
        log=log,
        variant=variant,
        parameters=tuple(parameter or ()),
    )
    refuse_assumptions(assume, dry_run)
    if dry_run:
        _dry_run(config, assume, as_json)
        return
    from faithful.training.forecast import plan_line
    from faithful.training.train import train as run_train

    def announce(plan: Any) -> None:
        if not as_json:
            say(plan_line(plan))

    with _table(as_json) as report:
        result = run_train(config, report, announce)
    card = _card(result.out)
    if as_json:
        print_json(
            {
                "out": str(result.out),
                "trained": [str(path) for path in result.trained],
                "skipped": [str(path) for path in result.skipped],
            }
        )
        return
    from faithful.cli.output.training_tables import hardly_trained, quality_rows

    header, rows = quality_rows([*result.trained, *result.skipped])
    print_table("SAEs on held-out text: mean ± standard deviation over seeds", rows, header)
    say(result.note)
    say(card)
    for sentence in hardly_trained([*result.trained, *result.skipped]):
        say(sentence)
    say(f"Next: {following(result.out, f'faithful study seeds {result.out}')}")


def _card(out: Path) -> str:
    """Write the card of the SAEs; a card that cannot be written is no reason to lose what was trained."""
    from faithful.base.errors import FaithfulError
    from faithful.training.card import write_saes_card

    try:
        return f"Card: {write_saes_card(out)}"
    except FaithfulError as error:
        return f"No card was written: {error}"


def _dry_run(config: Any, assume: str | None, as_json: bool) -> None:
    from faithful.training.forecast import plan_rows, plan_training

    plan = plan_training(config, assume)
    if as_json:
        print_json(plan.to_dict())
        return
    print_table("Dry run: nothing was written", plan_rows(plan))


def _saes_folder(corpus: Path, run: str | None) -> Path:
    """Where SAEs go: the run named, else the run that the first corpus lies in, else beside that corpus."""
    from faithful.store.places import run_folder

    if run:
        return run_folder(run) / "saes"
    parent = corpus.resolve().parent
    return (parent.parent if parent.name == "corpora" else parent) / "saes"


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
