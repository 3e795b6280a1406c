"""Tasks by name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from studies.probes.tasks.embedded import RULES
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import Task, embedded_names, find_task, known_tasks
from tests.generation.sources.hub_server import SHA, Hub, serving
from tests.studies.probes.data import DRAW, no_text


@pytest.mark.parametrize("wish", ["nothing", "./missing.csv:a:b", "a/b/c/d:text:label", "missing.csv:a:b"])
def test_names_that_are_no_task_are_refused(wish: str) -> None:
    with pytest.raises(FaithfulError, match="is no task; choose sst2, cola, ag_news, yelp, novel"):
        find_task(wish)


def test_known_tasks_are_complete_and_the_hub_is_asked_only_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_tasks()
    assert [name for name, task in known.items() if task.kind == "hub"] == ["sst2", "cola", "ag_news", "yelp"]
    assert [*embedded_names(), "kind"] == [name for name in RULES if name in known] == list(RULES)
    assert all(task.about and len(task.labels) > 1 for task in known.values())
    assert find_task("org/set/part:a:b") == Task("part", "hub", "org/set/part", "a", "b")
    monkeypatch.setattr("studies.probes.tasks.read.hub_problem", lambda: "offline mode is on")
    with pytest.raises(FaithfulError) as refused:
        load_task(known["sst2"], DRAW, no_text())
    assert str(refused.value) == (
        "Cannot reach the Hub for the task sst2 (offline mode is on); connect, or choose tasks that need none:"
        " --task novel,speech,tests,comment, or a file as PATH:TEXT:LABEL."
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue().to_pybytes())


def hub_of_tasks() -> Hub:
    """The sets of the four known tasks and one of one's own, laid out as the real ones are."""
    hub = Hub()

    def add(repo: str, name: str, text: str, classes: int, labelled: tuple[str, ...], unlabelled: str = "") -> None:
        lines = ["---", "configs:", f"- config_name: {name}", "  data_files:"]
        files = hub.files.setdefault(repo, {})
        for split in (*labelled, *([unlabelled] if unlabelled else [])):
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
            rows = [
                {text: f"{split} {row}", "label": -1 if split == unlabelled else row % classes, "idx": row}
                for row in range(80)
            ]
            files[f"{name}/{split}-00000-of-00001.parquet"] = parquet(rows)
        lines += ["- config_name: other", "  data_files: other.parquet", "---", ""] if "glue" in repo else ["---", ""]
        files["README.md"] = "\n".join(lines).encode()

    add("stanfordnlp/sst2", "default", "sentence", 2, ("train", "validation"), "test")
    add("nyu-mll/glue", "cola", "sentence", 2, ("train", "validation"), "test")
    add("fancyzhx/ag_news", "default", "text", 4, ("train", "test"))
    add("fancyzhx/yelp_polarity", "plain_text", "text", 2, ("train", "test"))
    add("open/own", "default", "body", 3, ("train", "validation"), "test")
    return hub


HUB_SCRIPT = """
import json, sys
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import find_task

class Spec:
    tokenizer_sha256 = ""

found = []
for wish in json.loads(sys.argv[1]):
    try:
        data = load_task(find_task(wish), Draw(40, 20, 0, 4), EmbeddedText(None, Spec, 9))
        sides = [[len(s.y), s.texts[0].split()[0], sorted(set(s.y.tolist()))] for s in (data.train, data.test)]
        found.append([data.labels, data.revision, *sides])
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
print(json.dumps(found))
"""


def test_tasks_of_the_hub_come_from_their_labelled_splits(tmp_path: Path) -> None:
    """From a Hub on this machine, through the real library, in a process that may use the network."""
    wishes = ["sst2", "cola", "ag_news", "yelp", "open/own:body:label", "open/own:body:mood", "open/none"]
    offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN"}
    with serving(hub_of_tasks()) as address:
        environment = {name: value for name, value in os.environ.items() if name not in offline} | {
            "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", HUB_SCRIPT, json.dumps(wishes)],
            env=environment,
            cwd=Path(__file__).parents[4],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    *sets, own, no_column, missing = json.loads(done.stdout)
    known = known_tasks()
    for name, (labels, revision, train, test) in zip(("sst2", "cola", "ag_news", "yelp"), sets, strict=True):
        task = known[name]
        assert labels == list(task.labels) and revision == (task.revision or SHA)
        assert train == [40, "train", list(range(len(labels)))]
        assert test == [20, task.test, list(range(len(labels)))]
    assert own == [["0", "1", "2"], SHA, [40, "train", [0, 1, 2]], [20, "validation", [0, 1, 2]]]
    assert no_column.startswith("FaithfulError: open/own has no column 'mood'; it has body, label, idx")
    assert missing.startswith("FaithfulError: ") and "gated or missing" in missing
