"""`faithful models` and `faithful doctor`."""

from typing import Annotated

import typer

from faithful.cli.show import command, print_json, print_table, say


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("models")(command(models))
    app.command("doctor")(command(doctor))


def models(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
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


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """Say what this machine can do and what is missing."""
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
