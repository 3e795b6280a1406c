"""`faithful corpus mix | shuffle | dedup | subsample`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from faithful.cli.output.next_step import following
from faithful.cli.show import command, print_json, print_table, progress, say

Folder = Annotated[
    Path | None, typer.Argument(help="Corpus folder; default: the one corpus of the current run that is not derived.")
]
Run = Annotated[str | None, typer.Option(help="Run to take the corpus from.")]
Seed = Annotated[int, typer.Option(help="Of the random choices.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, function in (("mix", mix), ("shuffle", shuffle), ("dedup", dedup), ("subsample", subsample)):
        app.command(name)(command(function))


def mix(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Two corpora or more; default: all of the current run, not the derived.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Shares of the tokens, 3,1 or one each; default: equal.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Training tokens; default: all that the scarcest corpus allows.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New corpus; default mix-A-B beside A.")] = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Interleave corpora by their shares of the tokens; no document comes twice."""
    from faithful.base.quantities import parse_count, parse_numbers
    from generation.derived.mix import MixConfig
    from generation.derived.mix import mix as run_mix

    shares = parse_numbers(",".join(weights or []), "--weights")
    chosen = tuple(folders or _of_run(run))
    if not folders:
        say(f"Corpora: {', '.join(map(str, chosen)) or 'none'}")
    config = MixConfig(chosen, shares or None, parse_count(tokens) if tokens is not None else None, out)
    with progress(quiet=as_json) as report:
        _show(run_mix(config, report), as_json)


def shuffle(
    folder: Folder = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="New corpus; default A-shuffled beside A.")] = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Shuffle the tokens within each document: same unigrams and lengths, no syntax."""
    from generation.derived.shuffle import ShuffleConfig
    from generation.derived.shuffle import shuffle as run_shuffle

    config = ShuffleConfig(_one(folder, run), seed, out)
    with progress(quiet=as_json) as report:
        _show(run_shuffle(config, report), as_json)


def dedup(
    folder: Folder = None,
    near: Annotated[
        bool, typer.Option("--near", help="Near-duplicates too: Jaccard ≥ 0.8 on 5-grams of tokens.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="New corpus; default A-dedup beside A.")] = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Keep the first of equal documents, and none in `test` that is in `train`."""
    from generation.derived.dedup import DedupConfig
    from generation.derived.dedup import dedup as run_dedup

    config = DedupConfig(_one(folder, run), near, out)
    with progress(quiet=as_json) as report:
        _show(run_dedup(config, report), as_json)


def subsample(
    folder: Folder = None,
    tokens: Annotated[str | None, typer.Option(help="Training tokens: 20000, 20k, 1M.")] = None,
    like: Annotated[Path | None, typer.Option(help="Corpus whose histogram of lengths to match.")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="New corpus; default A-sub-N or A-like-B beside A.")] = None,
    run: Run = None,
    as_json: Json = False,
) -> None:
    """Take a part of a corpus, at random or with the lengths of another one (cutting longer documents where needed)."""
    from faithful.base.quantities import parse_count
    from generation.derived.subsample import SubsampleConfig
    from generation.derived.subsample import subsample as run_subsample

    amount = parse_count(tokens) if tokens is not None else None
    config = SubsampleConfig(_one(folder, run), amount, like, seed, out)
    with progress(quiet=as_json) as report:
        _show(run_subsample(config, report), as_json)


def _of_run(run: str | None) -> list[Path]:
    """The corpora of the current run that are not derived from others."""
    from faithful.store.corpus import read_manifest
    from faithful.store.places import corpora_of, current_run

    return [folder for folder in corpora_of(current_run(run)) if read_manifest(folder).kind != "derived"]


def _one(folder: Path | None, run: str | None) -> Path:
    """The folder given, else the only one of the current run; says on stderr which."""
    from faithful.base.errors import FaithfulError

    if folder is not None:
        return folder
    found = _of_run(run)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FaithfulError(f"Name the corpus: the current run has not one, but these that are not derived: {names}.")
    say(f"Corpus: {found[0]}")
    return found[0]


def _show(result: Any, as_json: bool) -> None:
    """Say what was done; the counts on stdout."""
    manifest = result.manifest
    say(result.note)
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "changed": result.changed,
                "tokens": {split: manifest.tokens(split) for split in manifest.shards},
                "documents": {split: manifest.rows(split) for split in manifest.shards},
                "identity": manifest.identity,
                "counts": manifest.provenance["counts"],
                "statistics": manifest.statistics,
            }
        )
        return
    counts = {split: _flat(figures) for split, figures in manifest.provenance["counts"].items()}
    rows = [
        (name.replace("_", " "), *(_figure(counts[split].get(name)) for split in counts)) for name in counts["train"]
    ]
    print_table(f"Counts of the {manifest.identity['derivation']['operation']}", rows, ("count", *counts))
    say(f"Next: {following(result.folder, f'faithful corpus stats {result.folder}')}")


def _flat(figures: dict[str, Any]) -> dict[str, Any]:
    """Nested counts with their names joined."""
    return {
        f"{name} {part}".strip(): value
        for name, below in figures.items()
        for part, value in (below if isinstance(below, dict) else {"": below}).items()
    }


def _figure(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
