"""`faithful corpus …`."""

from pathlib import Path
from typing import Annotated

import typer

from faithful.cli import add, derive, generate
from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.output.next_step import following
from faithful.cli.shared import Json, RunOfCorpora, refuse_both
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from generation.configs.certify import CertifyConfig
from generation.configs.export import ExportConfig
from generation.configs.stats import StatsConfig


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for function in (stats, certify, export, generate.join):
        app.command(function.__name__, cls=Explained)(command(configured(function)))
    add.register(app)
    derive.register(app)


def _folders(folder: Path | None, run: str | None) -> list[Path]:
    """The corpora that the folder given stands for, else every corpus of the run given or the current one."""
    from faithful.store.places import corpora_in

    refuse_both(folder, run)
    return corpora_in(folder) if folder is not None else folders_of(run)


def _after(folders: list[Path]) -> str:
    """What comes after a look at corpora: a certificate for the first sampled one without, else the next thing of the run."""
    from faithful.store.corpus import read_manifest
    from generation.writing.identity import declares_sampling

    first = folders[0]
    manifests = {folder: read_manifest(folder) for folder in folders}
    for folder, manifest in manifests.items():
        if declares_sampling(manifest) and manifest.certificate is None:
            return command_line(CertifyConfig, folder=folder)
    return following(first, command_line(ExportConfig, folder=first, context=128))


def folders_of(run: str | None) -> list[Path]:
    """Every corpus of the current run; says on stderr which."""
    from faithful.base.errors import FaithfulError
    from faithful.store.places import corpora_of, current_run

    where = current_run(run)
    found = corpora_of(where)
    if not found:
        raise FaithfulError(f"The run {where} holds no corpus; make one with `faithful generate`.")
    say(f"Run {where}: {', '.join(path.name for path in found)}")
    return found


def home_of(corpus: Path, run: str | None) -> Path:
    """Where what is made of a corpus goes: the run named, else the run that it lies in, else beside it."""
    from faithful.store.places import run_folder

    if run:
        return run_folder(run)
    parent = corpus.resolve().parent
    return parent.parent if parent.name == "corpora" else parent


def stats(stated: Stated[StatsConfig], run: RunOfCorpora = None, as_json: Json = False) -> None:
    """Print a corpus' statistics: lengths, duplicates, diversity, compression."""
    from generation.cards.describe import statistics_of
    from generation.cards.parts import statistics_rows

    folder = stated.values.get("folder")
    results = {str(path): statistics_of(path) for path in _folders(folder, run)}
    if as_json:
        print_json(next(iter(results.values())) if folder is not None and len(results) == 1 else results)
        return
    for name, statistics in results.items():
        print_table(name, statistics_rows(statistics))
        if not statistics["stored"]:
            say(f"These figures are not stored: {name} cannot be written now, or another process is writing it.")
    say(f"Next: {_after([Path(one) for one in results])}")


def certify(
    stated: Stated[CertifyConfig],
    run: RunOfCorpora = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 unless the verdict is `consistent`.")] = False,
    as_json: Json = False,
) -> None:
    """Score a corpus with its model: is it consistent with the declared sampling?"""
    from generation.cards.card import write_card
    from generation.cards.own import certificate_rows, test_rows
    from generation.certificate.certify import certify as run_certify
    from generation.certificate.conclude import CONSISTENT

    consistent = True
    results = {}
    folder = stated.values.get("folder")
    for path in _folders(folder, run):
        config = stated.build(folder=path)
        with progress(quiet=as_json) as report:
            result = run_certify(config, report)
        results[str(path)] = result
        consistent &= result["verdict"] == CONSISTENT
        if result.get("stored"):
            write_card(path)
        elif "not_stored" in result:
            say(f"Not stored in {path}: {result['not_stored']}.")
        if as_json:
            continue
        if result["tests"]:
            print_table(f"Certificate of {path}", [("verdict", result["verdict"]), ("because", result["reason"])])
            print_table("Figures", [*certificate_rows(result), ("tokens scored", f"{result['tokens_scored']:,}")])
            print_table("Tests", list(test_rows(result)), ("test", "statistic", "p", "p (Holm)"))
        else:
            print_table(f"Certificate of {path}", [("verdict", result["verdict"])])
    if as_json:
        print_json(next(iter(results.values())) if folder is not None and len(results) == 1 else results)
    else:
        say(f"Next: {_after([Path(one) for one in results])}")
    if strict and not consistent:
        raise typer.Exit(1)


def export(
    config: ExportConfig,
    output_format: Annotated[str, typer.Option("--format", help="input_ids is the only one.")] = "input_ids",
    as_json: Json = False,
) -> None:
    """Write rows of token ids that begin with BOS, for SAELens, sparsify and other trainers."""
    from faithful.base.errors import FaithfulError
    from generation.writing.export import export as run_export

    if output_format != "input_ids":
        raise FaithfulError(f"'{output_format}' is not an export format; use input_ids.")
    target, rows = run_export(config)
    if as_json:
        print_json({"folder": str(target), "train_rows": rows, "context": config.context, "layout": config.layout})
        return
    say(f"{rows:,} training rows of {config.context} tokens in {target}.")
    say(f'Next: datasets.load_dataset("parquet", data_files="{target}/train.parquet", split="train")')
