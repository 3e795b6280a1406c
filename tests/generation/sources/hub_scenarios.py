"""What streaming from the Hub of `hub_server` gives: run in a process of its own, one JSON object on stdout.

python -m tests.generation.sources.hub_scenarios      (HF_ENDPOINT is the server's address)
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from itertools import islice
from typing import Any

from faithful.base.errors import FaithfulError
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows
from generation.sources.source import Row, Source

PAUSES = (0.25, 0.75)
FAULTS = 150
waited: list[float] = []


def fail(repo: str, path: str, faults: list[int | str]) -> None:
    """Let the server fail the next requests for a file."""
    body = json.dumps({"repo": repo, "path": path, "faults": faults}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{os.environ['HF_ENDPOINT']}/fail", data=body)).read()


def resolve(name: str, **options: Any) -> Source:
    return resolve_source(name, pauses=PAUSES, **options)


def read(source: Source, seed: int = 0, state: dict[str, Any] | None = None) -> dict[str, Any]:
    rows = Rows(source, seed, state, pauses=PAUSES)
    found = list(rows)
    return {"rows": [vars(row) for row in found], "dropped": rows.dropped, "state": rows.state()}


def sentence(work: Callable[[], Any]) -> str:
    waited.clear()
    try:
        work()
    except FaithfulError as error:
        return str(error)
    return "no error"


def shown(source: Source) -> dict[str, Any]:
    return {"identity": source.identity(), "provenance": source.provenance(), "name": source.name}


def interrupted(repo: str, path: str, faults: list[int | str], after: int) -> dict[str, Any]:
    """Rows of a set whose connection goes wrong once `after` of them were read."""
    source = resolve(repo)
    rows = Rows(source, 0, pauses=PAUSES)
    stream = iter(rows)
    found: list[Row] = list(islice(stream, after))
    fail(repo, path, faults)
    waited.clear()
    try:
        found += stream
        problem = ""
    except FaithfulError as error:
        problem = str(error)
    own = [seconds for seconds in waited if seconds in PAUSES]
    fail(repo, path, [])
    rest = [row.doc_id for row in Rows(source, 0, json.loads(json.dumps(rows.state())))]
    return {"rows": [row.doc_id for row in found], "problem": problem, "own": own, "rest": rest}


def resumed() -> list[list[str]]:
    source = resolve("open/web")
    whole = [row.doc_id for row in Rows(source, 3)]
    parts = []
    for cut in (0, 1, 257, 700):
        rows = Rows(source, 3)
        first = [row.doc_id for row in islice(iter(rows), cut)]
        parts.append(first + [row.doc_id for row in Rows(source, 3, json.loads(json.dumps(rows.state())))])
    return [whole, *parts]


def bytes_sent() -> int:
    """Content that the server has sent."""
    with urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/sent") as answer:
        return int(json.load(answer))


def beginning(repo: str, count: int) -> dict[str, Any]:
    """What the first rows cost, once the set is found."""
    source = resolve(repo)
    before = bytes_sent()
    rows = [row.doc_id for row in islice(Rows(source, 0), count)]
    return {"rows": len(set(rows)), "fetched": bytes_sent() - before}


def main() -> None:
    time.sleep = waited.append
    catalogued = {
        name: resolve(name) for name in ("pile", "c4", "flan", "tulu-3", "natural-instructions", "openwebtext")
    }
    results: dict[str, Any] = {
        "web": shown(resolve("open/web")) | read(resolve("open/web")),
        "other seed": read(resolve("open/web"), seed=1),
        "many files": shown(resolve("open/many-files")) | read(resolve("open/many-files")),
        "many files, other seed": read(resolve("open/many-files"), seed=1),
        "large": beginning("open/large", 16),
        "large, whole": [row.doc_id for row in Rows(resolve("open/large"), 0)],
        "large, dropped": interrupted("open/large", "train.parquet", ["drop"] * 8, 500),
        "resumed": resumed(),
        "wikitext": read(resolve("wikitext")),
        "flan, nothing left out": read(resolve("flan", leave_out=())),
        "by its Hub id": shown(resolve("Open-Orca/FLAN")),
        "dropped": interrupted("open/long", "train.jsonl", ["drop"] * FAULTS, 500),
        "too many requests": interrupted("open/long", "train.jsonl", [429, 429, 503], 500),
        "500 for ever": interrupted("open/long", "train.jsonl", [500] * 100_000, 500),
        "description fails once": sentence(lambda: (fail("open/web", "", [500]), resolve("open/web"))),
        "description fails for ever": sentence(lambda: (fail("open/web", "", [503] * 9), resolve("open/web"))),
    }
    fail("open/web", "", [])
    results |= {name: shown(source) | read(source) for name, source in catalogued.items()}
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "gated": ("closed/gated", {}),
        "missing": ("open/nothing", {}),
        "private": ("private/nothing", {}),
        "revision": ("open/web", {"revision": "v9"}),
        "config missing": ("open/many", {}),
        "config": ("open/many", {"config": "c"}),
        "split": ("open/web", {"split": "test"}),
        "column": ("open/web", {"columns": ("content",)}),
        "no text column": ("open/qa", {}),
        "template column": ("open/qa", {"template": "{question} {reply}"}),
        "script": ("open/scripted", {}),
        "pictures": ("open/pictures", {}),
        "damaged": ("open/damaged", {}),
        "not unicode": ("open/latin", {}),
        "empty": ("open/empty", {}),
        "no files": ("open/readme", {}),
        "stray quotes": ("open/quotes", {"columns": ("sentence",)}),
        "drift": ("open/drift", {}),
        "a file in place of pictures": ("open/image-column", {}),
    }
    options |= {repo: (repo, {}) for repo in json.loads(os.environ["FOREIGN"])}
    for name, (repo, stated) in options.items():
        results[name] = sentence(lambda repo=repo, stated=stated: read(resolve(repo, **stated)))  # type: ignore[misc]
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
