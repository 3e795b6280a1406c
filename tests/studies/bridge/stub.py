"""An interpreter that stands for that of SAEBench's environment: it says its versions, and writes what was recorded."""

import json
import sys
from pathlib import Path

from studies.bridge.environment import wanted
from tests.studies.bridge.recording import RECORDED

SCRIPT = """#!{python}
import json, shutil, sys
from pathlib import Path
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "-c":
    print(json.dumps({versions!r}))
    sys.exit()
job = json.loads(Path(sys.argv[2]).read_text())
{before}
(name, settings), = job["evals"].items()
for sae in job["saes"]:
    out = Path(job["out"]) / name
    out.mkdir(parents=True, exist_ok=True)
    if name == "sae_probes":
        entries = [
            {{"k": k, "dataset": one, "test_acc": 0.5 + k / 100, "test_auc": float("nan"), "test_f1": 0.5}}
            for one in settings["datasets"] or ["all"]
            for k in settings["ks"]
        ]
        (out / (sae["name"] + "_custom_sae_eval_results.json")).write_text(json.dumps({{"sets": entries}}))
    else:
        shutil.copy(Path({recorded!r}) / (name + ".json"), out / (sae["name"] + "_custom_sae_eval_results.json"))
"""


def write_stub(folder: Path, before: str = "", **versions: str) -> Path:
    """One that runs `before` ahead of its work, of the wanted versions but for those given."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    told = wanted() | {name.replace("_", "-"): version for name, version in versions.items()}
    path.write_text(
        SCRIPT.format(
            python=sys.executable, calls=str(calls_of(path)), versions=told, before=before, recorded=str(RECORDED)
        )
    )
    path.chmod(0o755)
    return path


def calls_of(stub: Path) -> Path:
    """Where a stub notes how it was called."""
    return stub.with_name("calls.jsonl")


def jobs_of(stub: Path) -> list[list[str]]:
    """The calls that were jobs."""
    path = calls_of(stub)
    calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [call for call in calls if call[0] != "-c"]
