"""A run with pages, its upload records, and a server that takes them as Neuronpedia does."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from studies.browse.config import BrowseConfig
from studies.browse.write import browse
from studies.runs.neuronpedia.client import KEY
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig
from studies.runs.neuronpedia.export import Export, export_neuronpedia


@pytest.fixture(scope="session")
def paged_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which two SAEs have pages, 70 latents each; never change it."""
    return paged(run, tmp_path_factory.mktemp("paged") / "runs" / "My tries")


def paged(run: Path, folder: Path) -> Path:
    """The same elsewhere, with what the studies in the folder left."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("saes", "corpora"):
        (folder / name).symlink_to(run / name)
    browse(BrowseConfig(folder, saes=("own/seed-0", "cool/seed-1"), latents=70, tokens=300, device="cpu"))
    return folder


@pytest.fixture(scope="session")
def written(paged_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Its upload records, three requests an SAE; never change them."""
    out = tmp_path_factory.mktemp("records") / "neuronpedia"
    return export_neuronpedia(ExportNeuronpediaConfig(paged_run, out, batch=20))


SIDES = ("topLogits", "bottomLogits")


class Server(ThreadingHTTPServer):
    """Neuronpedia as far as uploads see it: it refuses what the schema of its own server refuses.

    Attributes:
        asked: method, path, key and body of every request.
        models, sets: that are there; `tiny-gpt2` is.
        features: by source, the bodies of the latents.
        fails: how the next uploads end: with a status, or `lost` when they are taken and the answer does not come.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.models: set[str] = {"tiny-gpt2"}
        self.sets: dict[str, dict[str, Any]] = {}
        self.features: dict[str, list[Any]] = {}
        self.fails: list[Any] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def uploads(self) -> list[Any]:
        """Bodies of the uploads that were asked for."""
        return [body for method, path, _, body in self.asked if path == "/api/feature/upload-batch"]


def refusal(server: Server, path: str, body: Any) -> str | None:
    """Why the real server would not take a request; None where it would."""
    if path == "/api/model/new":
        checks = {
            "id": re.fullmatch(r"[a-z][a-z0-9.-]{0,30}[a-z0-9]", body["id"]) and not re.search(r"--|\.\.", body["id"]),
            "layers": 1 <= body["layers"] <= 127,
            "displayName": 1 <= len(body["displayName"]) <= 64,
            "Model already exists": body["id"] not in server.models,
        }
    elif path == "/api/source-set/new":
        name = body["name"]
        checks = {
            "name": re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) and "--" not in name,
            "description": len(body["description"]) <= 128,
            "Model not found": body["modelId"] in server.models,
            "Source set name already exists for this model.": f"{body['modelId']}/{name}" not in server.sets,
        }
    else:
        features = body["features"]
        activations = [one for feature in features for one in feature["activations"]]
        tokens = [token for one in activations for token in one["tokens"]]
        tokens += [one["token"] for feature in features for side in SIDES for one in feature[side] or ()]
        said = [one for feature in features for one in feature["explanations"]]
        checks = {
            "source": f"{body['modelId']}/{body['source'].partition('-')[2]}" in server.sets,
            "features": 1 <= len(features) <= 128 and len({one["index"] for one in features}) == len(features),
            "density": all(0 <= feature["density"] <= 1 for feature in features),
            "activations": all(feature["activations"] for feature in features),
            "tokens": all(token and "\0" not in token for token in tokens),
            "values": all(1 <= len(one["values"]) == len(one["tokens"]) <= 1024 for one in activations),
            "text": all(
                1 <= len(one["text"].encode("utf-16-le")) <= 2 * 512 and "\0" not in one["text"] for one in said
            ),
            "Invalid Explanation Method Names": {one["methodName"] for one in said} <= {None, "oai_token-act-pair"},
            "Failed to create features": all(one["modelName"] is None for one in said),
            "quantileFraction": all(0 <= (one["quantileFraction"] or 0) <= 1 for one in activations),
        }
    return next((name for name, is_well in checks.items() if not is_well), None)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """What is not there is answered with nothing, and not with 404."""
        self.server.asked.append(("GET", self.path, self.headers["X-Api-Key"], None))
        kind, *place = self.path.removeprefix("/api/").split("/")
        if kind == "source-set":
            self.answer(200, self.server.sets.get("/".join(place)))
        else:
            found = [one for one in self.server.features.get(place[1], []) if str(one["index"]) == place[2]]
            self.answer(200, {"modelId": place[0], "layer": place[1], "index": place[2]} if found else None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(("POST", self.path, self.headers["X-Api-Key"], body))
        if self.headers["X-Api-Key"] != "the key":
            self.answer(401, {})
        elif reason := refusal(self.server, self.path, body):
            self.answer(400, {"error": reason, "path": reason})
        elif self.path == "/api/model/new":
            self.server.models.add(body["id"])
            self.answer(200, {"id": body["id"], "layers": body["layers"], "displayName": "", "website": None})
        elif self.path == "/api/source-set/new":
            made = {"name": body["name"], "modelId": body["modelId"], "description": "", "urls": [], "sources": []}
            self.server.sets[f"{body['modelId']}/{body['name']}"] = made
            self.answer(200, made)
        elif self.path == "/api/feature/upload-batch":
            self.upload(body)

    def upload(self, body: Any) -> None:
        fails = self.server.fails.pop(0) if self.server.fails else None
        if isinstance(fails, int):
            self.answer(fails, {"message": "no"})
            return
        self.server.features.setdefault(body["source"], []).extend(body["features"])
        if fails == "lost":
            self.close_connection = True
            return
        self.answer(200, {"message": f"{len(body['features'])} features created."})

    def answer(self, status: int, value: Any) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that knows `the key`, which is set."""
    pytest.importorskip("neuronpedia")
    monkeypatch.setenv(KEY, "the key")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()
