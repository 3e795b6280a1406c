"""`faithful evaluate saebench | sae-probes`."""

from typing import Any

import typer

from faithful.cli.adapter import Explained, Stated, configured
from faithful.cli.shared import Json, Run
from faithful.cli.show import command, print_json, print_table, progress, say
from faithful.cli.study import home_of_saes, place_of, saes_of
from studies.bridge.config import SaeBenchConfig, SaeProbesConfig


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("saebench", cls=Explained)(command(configured(saebench)))
    app.command("sae-probes", cls=Explained)(command(configured(sae_probes)))


def saebench(stated: Stated[SaeBenchConfig], run: Run = None, as_json: Json = False) -> None:
    """Run evaluations of SAEBench on SAEs, on their model and on text that is here."""
    from studies.bridge.evaluate import evaluate_saebench

    _evaluate(evaluate_saebench, "saebench", stated, run, as_json)


def sae_probes(stated: Stated[SaeProbesConfig], run: Run = None, as_json: Json = False) -> None:
    """Run the k-sparse probes of sae-probes on SAEs and their model."""
    from studies.bridge.evaluate import evaluate_sae_probes

    _evaluate(evaluate_sae_probes, "sae-probes", stated, run, as_json)


def _evaluate(evaluate: Any, name: str, stated: Stated[Any], run: str | None, as_json: bool) -> None:
    from faithful.store.places import run_folder

    stated_saes = stated.values.get("saes")
    saes = tuple(map(place_of, stated_saes)) if stated_saes else (str(saes_of(run)),)
    home = run_folder(run) if run else home_of_saes(str(saes[0]))
    out = stated.values.get("out") or home / "evaluations" / name
    with progress(quiet=as_json) as report:
        done = evaluate(stated.build(saes=saes, out=out), report)
    if as_json:
        print_json(done.summary | {"folder": str(done.folder), "rows": [vars(row) for row in done.rows]})
    else:
        from studies.bridge.results import bridge_table

        table = bridge_table(done.rows)
        print_table(table.title, table.rows, table.header)
        say(f"What the package wrote (json) and results.parquet: {done.folder}")
    if done.failed:
        from faithful.base.errors import FaithfulError

        raise FaithfulError(done.failed)
