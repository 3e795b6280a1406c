"""`faithful models` and `faithful doctor`."""

from typing import Annotated

import typer

from faithful.cli.shared import Json
from faithful.cli.show import command, print_json, print_table, say

Cluster = Annotated[
    str | None,
    typer.Option("--ray", help="Look at the nodes of this Ray cluster instead: HOST:PORT of the head, or auto."),
]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("models")(command(models))
    app.command("doctor")(command(doctor))


def models(as_json: Json = False) -> None:
    """List the models that have a short name, with their settings."""
    from dataclasses import asdict

    from faithful.base.quantities import format_count
    from faithful.models.presets import presets

    if as_json:
        print_json({name: asdict(preset) for name, preset in presets().items()})
        return
    rows = [
        (
            p.name,
            format_count(p.shape.params),
            str(p.layer),
            f"{p.d_sae:,}",
            str(p.k),
            f"{p.lr:.2g}",
            format_count(p.tokens),
            str(p.context),
            p.start.split()[0],
            p.dtype,
            "embedded" if p.name == "tiny" else p.source,
        )
        for p in presets().values()
    ]
    header = ("name", "params", "layer", "d_sae", "k", "lr", "tokens", "context", "start", "dtype", "model")
    print_table("Models", rows, header)
    say("Any other causal LM works by Hub id, folder or GGUF file. Next: faithful generate --model NAME --dry-run")


def doctor(ray: Cluster = None, as_json: Json = False) -> None:
    """Say what this machine, or a Ray cluster, can do and what is missing."""
    if ray:
        _cluster(ray, as_json)
        return
    from faithful.cli.examine import examine

    findings = examine()
    if as_json:
        print_json(
            {finding.name: {"ok": finding.ok, "found": finding.found, "advice": finding.advice} for finding in findings}
        )
        return
    rows = [(f.name, "yes" if f.ok else "no", f.found, f.advice) for f in findings]
    print_table("This machine", rows, ("what", "ok", "found", "advice"))
    say("Next: faithful generate")


def _cluster(address: str, as_json: bool) -> None:
    from dataclasses import asdict

    from faithful.executor.ray_cluster import connected, differences, look_at_nodes, mixture
    from faithful.executor.ray_host import look

    with connected(address):
        nodes = look_at_nodes()
    wrong = differences(nodes)
    mixed = [] if wrong else [sentence for device in ("cpu", "cuda") if (sentence := mixture(nodes, device))]
    if as_json:
        print_json({"nodes": [asdict(node) for node in nodes], "differences": wrong + mixed})
        return
    ours = look(None, ())["versions"]
    names = list(ours)
    rows = [("this machine", "", "", *(ours[name] for name in names))]
    rows += [
        (node.name, str(node.cpus), str(node.gpus), *(node.versions.get(name, "none") for name in names))
        for node in nodes
    ]
    print_table(f"The Ray cluster at {address}", rows, ("node", "CPUs", "GPUs", *names))
    for sentence in wrong + mixed:
        say(sentence)
    say(
        "Work is refused until every node has the versions of this machine."
        if wrong
        else f"Next: faithful generate --executor ray --ray {address}"
    )
