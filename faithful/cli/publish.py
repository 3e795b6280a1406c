"""`faithful publish …` and `faithful export …`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.shared import DryRun, Json
from faithful.cli.show import command, print_json, print_table, print_text, progress, say
from faithful.hub.config import PublishConfig, PublishCorpusConfig, PublishSaesConfig
from faithful.options.line import command_line
from generation.configs.add import AddConfig
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig

Dry = Annotated[bool, typer.Option("--dry-run", help="List files, bytes, commits and the card; send nothing.")]


def register(app: typer.Typer) -> None:
    """Add the commands of `publish`."""
    for function in (corpus, saes, run):
        app.command(function.__name__, cls=Explained)(command(configured(function)))
    app.command("neuronpedia", cls=Explained)(command(configured(publish_neuronpedia)))


def exports(app: typer.Typer) -> None:
    """Add the command of `export`."""
    app.command("neuronpedia", cls=Explained)(command(configured(export_neuronpedia)))


def corpus(config: PublishCorpusConfig, dry_run: Dry = False, as_json: Json = False) -> None:
    """Publish a corpus as a data set, in one commit."""
    from studies.runs.publish import publish_corpus

    fetched = command_line(AddConfig, name=config.name)
    _run(publish_corpus, config, dry_run, as_json, f'load_dataset("{config.name}"), or {fetched}')


def saes(config: PublishSaesConfig, dry_run: Dry = False, as_json: Json = False) -> None:
    """Publish a grid of SAEs as a model that SAELens loads from, in one commit."""
    from studies.runs.publish import publish_saes

    _run(publish_saes, config, dry_run, as_json, _study_of(config.name))


def run(config: PublishConfig, dry_run: Dry = False, as_json: Json = False) -> None:
    """Publish a run: its corpora as a data set, its SAEs and results as a model, linked to each other."""
    from faithful.store.places import run_folder
    from studies.runs.publish import publish_run

    folder = config.path if config.path.is_dir() else run_folder(str(config.path))
    _run(publish_run, replace(config, path=folder), dry_run, as_json, _study_of(config.name))


def export_neuronpedia(stated: Stated[ExportNeuronpediaConfig], as_json: Json = False) -> None:
    """Write the upload records of Neuronpedia for a run's latents, from the pages of `faithful browse`."""
    from faithful.base.quantities import format_bytes
    from faithful.store.places import current_run
    from studies.runs.neuronpedia import export

    config = stated.build(run=current_run(stated.values.get("run")))
    with progress(quiet=as_json) as report:
        done = export.export_neuronpedia(config, report)
    if as_json:
        print_json(vars(done))
        return
    say(f"{done.latents:,} latents in {done.requests:,} requests, {format_bytes(done.bytes)}: {done.folder}")
    for note in [*done.notes, *_of_latents(done.silent, done.explained, done.withheld)]:
        say(note)
    say(f"The model is called {done.model} there; state --model-id where Neuronpedia calls it otherwise.")
    following = PublishNeuronpediaConfig(config.run, config.out)
    say(f"Next: {command_line(following, dry_run=True)}")


def publish_neuronpedia(
    stated: Stated[PublishNeuronpediaConfig], dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Send the upload records of a run's latents to Neuronpedia; what was accepted is never sent again."""
    from faithful.base.quantities import format_bytes
    from faithful.store.places import current_run
    from studies.runs.neuronpedia import send

    config = stated.build(run=current_run(stated.values.get("run")))
    with progress(quiet=as_json or dry_run) as report:
        done = send.publish_neuronpedia(config, report, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "model": done.model,
                "makes": done.makes,
                "sets": [vars(one) for one in done.sets],
                "conditions": done.conditions,
            }
        )
        return
    if dry_run:
        rows = [
            (one.source, f"{one.latents:,}", f"{one.requests:,}", format_bytes(one.bytes), f"{one.before:,}")
            for one in done.sets
        ]
        print_table(f"Latents of {done.model}", rows, ("source", "latents", "requests", "bytes", "sent before"))
        for what in ([f"model {done.model}"] if done.makes else []) + [
            f"source set {one.name}, where it is not there" for one in done.sets if one.makes
        ]:
            say(f"Makes the {what}.")
        counts = ((one.silent, one.explained, one.withheld) for one in done.sets)
        for note in _of_latents(*map(sum, zip(*counts, strict=True))):
            say(note)
        for found in done.conditions:
            licence = found["licence"] or "unknown"
            say(f"Needs --accept-licence: {found['corpus']}: {found['origin']}, licence {licence}. {found['terms']}")
        say("Nothing was sent. Next: the same command without --dry-run")
        return
    for one in done.sets:
        there = one.requests - one.sent
        before = f", {there:,} were there" if there else ""
        say(f"{one.sent:,} requests sent{before}: {one.page}")


def _of_latents(silent: int, explained: int, withheld: int) -> list[str]:
    """What is not sent of latents, and which explanations are."""
    found = [f"{silent:,} latents are left out, as the text has no context of them."] if silent else []
    if explained or withheld:
        without = f"; those of {withheld:,} are left out (export --explanations all sends them)" if withheld else ""
        found.append(f"{explained:,} latents have an explanation{without}.")
    return found


def _study_of(saes: str) -> str:
    from studies.seeds.config import SeedsConfig

    return command_line(SeedsConfig, saes=(saes,))


def _run(publish: Any, config: Any, dry_run: bool, as_json: bool, following: str) -> None:
    with progress(quiet=as_json or dry_run) as report:
        result = publish(config, report, dry_run=dry_run)
    if as_json:
        print_json({"repositories": [_plain(plan, dry_run) for plan in result.plans], "unread": result.unread}
                   | {"published": [vars(done) for done in result.published]})  # fmt: skip
        return
    if dry_run:
        _show_plans(result)
        return
    for plan, done in zip(result.plans, result.published, strict=True):
        for note in plan.bundle.notes:
            say(note)
        _say_done(done)
    say(f"Next: {following}")


def _say_done(done: Any) -> None:
    from faithful.base.quantities import format_bytes

    if done.changed:
        say(
            f"Published {done.address} at {done.revision}: {done.files} files, {format_bytes(done.size)}; checksums agree."
            + (" It is private: you and those you let in can see it." if done.private else " Everybody can see it.")
        )
    else:
        say(f"{done.address} holds all this already, at {done.revision}: nothing to do.")


def _show_plans(result: Any) -> None:
    from faithful.base.quantities import format_bytes

    if result.unread:
        say(f"What is on the Hub is not known, so everything counts as new: {result.unread}")
    for plan in result.plans:
        rows = [(file.path, format_bytes(file.size)) for file in plan.send]
        rows += [(f"{path} (to delete)", "") for path in plan.delete]
        title = f"{plan.bundle.kind} {plan.bundle.name}, revision {plan.revision}"
        print_table(title, rows or [("nothing to send", "")], ("file", "size"))
        totals = [("files to send", f"{len(plan.send)} of {len(plan.files)}"), ("bytes", format_bytes(plan.size))]
        is_private = result.private if plan.private is None else plan.private
        totals += [("visibility", "private" if is_private else "public")]
        totals += [("commits", str(plan.commits)), ("tag", plan.revision if plan.wants_tag else "there already")]
        print_table("Total", totals)
        print_text(plan.card)
        for note in (*plan.bundle.notes, *(f"Needs --yes: {text}." for text in plan.objections)):
            say(note)
        for found in plan.bundle.conditions:
            say(
                f"Needs --accept-licence: {found.corpus}: {found.origin}, licence {found.licence or 'unknown'}. {found.terms}"
            )
    say("Nothing was sent. Next: the same command without --dry-run")


def _plain(plan: Any, with_card: bool) -> Mapping[str, object]:
    found = {
        "name": plan.bundle.name,
        "kind": plan.bundle.kind,
        "revision": plan.revision,
        "files": {file.path: file.size for file in plan.send},
        "delete": list(plan.delete),
        "bytes": plan.size,
        "commits": plan.commits,
        "tag": plan.wants_tag,
        "objections": list(plan.objections),
        "conditions": [vars(condition) for condition in plan.bundle.conditions],
        "notes": list(plan.bundle.notes),
    }
    return found | ({"card": plan.card} if with_card else {})
