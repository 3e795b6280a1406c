"""`faithful corpus mix | shuffle | dedup | subsample`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from faithful.cli.adapter import C, Explained, Stated, configured
from faithful.cli.output.next_step import following
from faithful.cli.shared import Json, RunOfCorpora, refuse_both
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.options.line import command_line
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.configs.stats import StatsConfig


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, function in (("mix", mix), ("shuffle", shuffle), ("dedup", dedup), ("subsample", subsample)):
        app.command(name, cls=Explained)(command(configured(function)))


def mix(stated: Stated[MixConfig], run: RunOfCorpora = None, as_json: Json = False) -> None:
    """Interleave corpora by their shares of the tokens; no document comes twice."""
    from generation.derived.mix import mix as run_mix

    refuse_both(stated.values.get("folders"), run)
    folders = stated.values.get("folders") or tuple(_of_run(run))
    if "folders" not in stated.values:
        say(f"Corpora: {', '.join(map(str, folders)) or 'none'}")
    with progress(quiet=as_json) as report:
        _show(run_mix(stated.build(folders=folders), report), as_json)


def shuffle(stated: Stated[ShuffleConfig], run: RunOfCorpora = None, as_json: Json = False) -> None:
    """Shuffle the tokens within each document: same unigrams and lengths, no syntax."""
    from generation.derived.shuffle import shuffle as run_shuffle

    config = _of_one(stated, run)
    with progress(quiet=as_json) as report:
        _show(run_shuffle(config, report), as_json)


def dedup(stated: Stated[DedupConfig], run: RunOfCorpora = None, as_json: Json = False) -> None:
    """Keep the first of equal documents, and none in `test` that is in `train`."""
    from generation.derived.dedup import dedup as run_dedup

    config = _of_one(stated, run)
    with progress(quiet=as_json) as report:
        _show(run_dedup(config, report), as_json)


def subsample(stated: Stated[SubsampleConfig], run: RunOfCorpora = None, as_json: Json = False) -> None:
    """Take a part of a corpus, at random or with the lengths of another one (cutting longer documents where needed)."""
    from generation.derived.subsample import subsample as run_subsample

    config = _of_one(stated, run)
    with progress(quiet=as_json) as report:
        _show(run_subsample(config, report), as_json)


def _of_run(run: str | None) -> list[Path]:
    """The corpora of the current run that are not derived from others."""
    from faithful.store.corpus import read_manifest
    from faithful.store.places import corpora_of, current_run

    return [folder for folder in corpora_of(current_run(run)) if read_manifest(folder).kind != "derived"]


def _of_one(stated: Stated[C], run: str | None) -> C:
    """Of the folder given, else of the only one of the current run; says on stderr which."""
    from faithful.base.errors import FaithfulError

    refuse_both(stated.values.get("folder"), run)
    if "folder" in stated.values:
        return stated.build()
    found = _of_run(run)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FaithfulError(f"Name the corpus: the current run has not one, but these that are not derived: {names}.")
    say(f"Corpus: {found[0]}")
    return stated.build(folder=found[0])


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
    say(f"Next: {following(result.folder, command_line(StatsConfig, folder=result.folder))}")


def _flat(figures: Mapping[str, object]) -> dict[str, object]:
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
