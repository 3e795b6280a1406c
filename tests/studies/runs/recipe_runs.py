"""Recipes done in a process that knows the Hub from its environment alone, one order after another.

python -m tests.studies.runs.recipe_runs      (HF_ENDPOINT is the server's address)

An order is a line of JSON on stdin, and so is its answer on stdout: `recipe`, `shape` of the checkpoint, which takes the
place of the real one's in the catalog, `folder`, `changes` and `break_in`, how the progress begins at which the run is
interrupted once some work is done, null for never; or `command`, arguments of `faithful`.

The process that samples is forked from this one, so that nothing is imported twice.
"""

import json
import multiprocessing
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

DEVICE = "cpu"


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Do one order."""
    if "command" in order:
        from typer.testing import CliRunner

        from faithful.cli import app

        done = CliRunner().invoke(app, order["command"])
        return {"code": done.exit_code, "out": done.stdout, "err": done.stderr}
    from faithful.models.presets import Shape, presets
    from studies.runs.recipe import run_recipe
    from studies.runs.recipe_file import load_recipe

    name = order["recipe"]
    presets()[name] = replace(presets()[name], shape=Shape(**order["shape"]))

    def report(point: Any) -> None:
        told = point.step.partition("] ")[2]
        if order["break_in"] and told.startswith(order["break_in"]) and point.done > 0:
            raise KeyboardInterrupt

    recipe = load_recipe(name, order["changes"])
    try:
        result = run_recipe(recipe, Path(order["folder"]), report, DEVICE)
    except KeyboardInterrupt:
        return {"interrupted": True}
    return {"done": result.done, "skipped": result.skipped}


def main() -> None:
    """Answer on the stream that was stdout; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    import generation.sampling.transformers_engine  # noqa: F401

    forking: Any = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: forking
    for line in sys.stdin:
        answers.write(json.dumps(obey(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
