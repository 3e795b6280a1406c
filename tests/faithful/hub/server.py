"""The Hub's endpoints over plain HTTP, as the real clients call them; refuses what the Hub refuses."""

import base64
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.faithful.hub.state import LARGE, LARGE_NAMES, Blob, Commit, Fault, Hub, Repository, User, hang

SHA = re.compile(r"[0-9a-f]{40}")
MAX_BODY = 10**9


class _RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        self.status, self.message, self.code, self.headers = status, message, code, headers


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve it from threads; yields its address."""
    server = _Server(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Endpoints):
        state = hub

    return Handler


class _Endpoints(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, url = self.state, urlsplit(self.path)
        self.parts = [unquote(part) for part in url.path.strip("/").split("/")]
        self.query = parse_qs(url.query)
        request = f"{self.command} {unquote(url.path)}"
        with hub.lock:
            hub.log.append(request)
            number = len(hub.log)
        hub.before(number)
        fault = hub.take_fault(request)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.what == "reset":
            self.rfile.read(length // 2)
            self._reset()
            return
        self.body = self._read_body(length)
        hub.received[self.command] += len(self.body)
        if fault and self._go_wrong(fault):
            return
        try:
            with hub.lock:
                status, value, headers = self._route()
        except _RefusedError as refused:
            status, headers = refused.status, dict(refused.headers)
            headers |= {"X-Error-Code": refused.code} if refused.code else {}
            headers |= {"X-Error-Message": refused.message}
            value = {"error": refused.message}
        hub.after(number)
        if fault and fault.what == "lost":
            self._reset()
            return
        self._send(status, value, headers)

    def _read_body(self, length: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(length)
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _go_wrong(self, fault: Fault) -> bool:
        """Whether the fault was the whole answer."""
        if callable(fault.what):
            fault.what()
        elif isinstance(fault.what, int):
            self._send(fault.what, {"error": "injected"}, fault.headers)
            return True
        elif fault.what == "hang":
            hang(self.state.released)
            self._reset()
            return True
        return False

    def _reset(self) -> None:
        """End the connection with RST, as a broken line does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
        for name, text in ({"Content-Type": kind, "Content-Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.state.sent[urlsplit(self.path).path] += len(content)
            self.wfile.write(content)

    def _user(self) -> User:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in self.state.users:
            raise _RefusedError(401, "Invalid credentials in Authorization header" if token else "Log in first")
        return self.state.users[token]

    def _writer(self, namespace: str) -> User:
        user = self._user()
        if user.role == "read" or namespace not in (user.name, *user.orgs):
            raise _RefusedError(403, f"You have no right to write to {namespace}")
        return user

    def _route(self) -> tuple[int, Any, dict[str, str]]:
        parts, method = self.parts, self.command
        if parts == ["api", "whoami-v2"]:
            user = self._user()
            orgs = [{"name": name, "roleInOrg": "write"} for name in user.orgs]
            role = {"accessToken": {"displayName": "test", "role": user.role}}
            return 200, {"type": "user", "name": user.name, "orgs": orgs, "auth": role}, {}
        if parts == ["api", "validate-yaml"]:
            return self._validate_yaml()
        if parts == ["api", "repos", "create"]:
            return self._create()
        if parts[0] == "api" and parts[1] in ("models", "datasets") and len(parts) >= 4:
            return self._api(parts[1][:-1], "/".join(parts[2:4]), parts[4:])
        if parts[0] == "lfs" and method == "PUT":
            return self._put(parts[1], "/".join(parts[2:4]), parts[4])
        kind = "dataset" if parts[0] == "datasets" else "model"
        parts = parts[1:] if kind == "dataset" else parts
        if parts[2:] == ["info", "lfs", "objects", "batch"] and parts[1].endswith(".git"):
            return self._batch(kind, f"{parts[0]}/{parts[1].removesuffix('.git')}")
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file(kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        raise _RefusedError(404, "Not found")

    def _repository(self, kind: str, name: str) -> Repository:
        found = self.state.repositories.get((kind, name))
        if found and found.private and "Authorization" not in self.headers:
            found = None
        if found is None:
            raise _RefusedError(404 if "Authorization" in self.headers else 401, "Repository not found", "RepoNotFound")
        return found

    @staticmethod
    def _revision(repository: Repository, revision: str) -> Commit:
        found = repository.at(revision)
        if found is None:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _validate_yaml(self) -> tuple[int, Any, dict[str, str]]:
        wish = json.loads(self.body)
        errors = yaml_errors(wish["content"], wish.get("repoType") or "model")
        return (400 if errors else 200), {"errors": [{"message": text} for text in errors], "warnings": []}, {}

    def _create(self) -> tuple[int, Any, dict[str, str]]:
        wish = json.loads(self.body)
        namespace = wish.get("organization") or self._user().name
        self._writer(namespace)
        name, kind = f"{namespace}/{wish['name']}", wish.get("type") or "model"
        address = f"http://{self.headers['Host']}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if (kind, name) in self.state.repositories:
            return 409, {"error": f"You already created this {kind} repo", "url": address}, {}
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        self.state.create(kind, name, private=private)
        return 200, {"url": address, "name": name}, {}

    def _api(self, kind: str, name: str, rest: list[str]) -> tuple[int, Any, dict[str, str]]:
        repository = self._repository(kind, name)
        what, more = (rest[0] if rest else "revision"), rest[1:]
        if what == "revision":
            return 200, self._info(name, repository, self._revision(repository, more[0] if more else "main")), {}
        if what == "refs":
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repository.tags.items()
            ]
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head.sha}
            return 200, {"branches": [main], "converts": [], "tags": tags}, {}
        if what == "tree":
            return self._tree(self._revision(repository, more[0]), "/".join(more[1:]))
        if what == "paths-info":
            values = parse_qs(self.body.decode()) if b"=" in self.body[:20] else json.loads(self.body)
            tree = self._revision(repository, more[0]).tree
            return 200, [entry for path in values["paths"] for entry in _entries(tree, path)], {}
        if what == "auth-check":
            if more == ["write"]:
                self._writer(name.split("/")[0])
            return 200, {}, {}
        if what in ("preupload", "commit", "tag"):
            self._writer(name.split("/")[0])
            revision = "/".join(more)
            return {"preupload": self._preupload, "commit": self._commit, "tag": self._tag}[what](repository, revision)
        raise _RefusedError(404, "Not found")

    @staticmethod
    def _info(name: str, repository: Repository, commit: Commit) -> dict[str, Any]:
        siblings = [{"rfilename": path} for path in commit.tree]
        readme = commit.tree.get("README.md")
        card = front_matter(readme.content.decode()) if readme else {}
        info = {"id": name, "sha": commit.sha, "siblings": siblings, "private": repository.private, "cardData": card}
        return info | {"gated": False, "downloads": 0, "likes": 0, "tags": []}

    def _tree(self, commit: Commit, folder: str) -> tuple[int, Any, dict[str, str]]:
        prefix = f"{folder}/" if folder else ""
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(commit.tree):
            if path.startswith(prefix):
                deeper = path.removeprefix(prefix).split("/")[:-1]
                for depth in range(1, len(deeper) + 1 if recursive else min(len(deeper), 1) + 1):
                    parent = prefix + "/".join(deeper[:depth])
                    found[parent] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": parent}
                if recursive or not deeper:
                    found[path] = _entries(commit.tree, path)[0]
        if folder and not found:
            raise _RefusedError(404, f"{folder} does not exist", "EntryNotFound")
        start, entries = int(self.query.get("cursor", ["0"])[0]), list(found.values())
        end = start + self.state.page
        headers = {}
        if end < len(entries):
            path = self.path.split("?")[0]
            address = f"http://{self.headers['Host']}{path}?recursive={str(recursive).lower()}&cursor={end}"
            headers = {"Link": f'<{address}>; rel="next"'}
        return 200, entries[start:end], headers

    def _preupload(self, repository: Repository, revision: str) -> tuple[int, Any, dict[str, str]]:
        tree = self._revision(repository, revision).tree
        answers = []
        for file in json.loads(self.body)["files"]:
            large = file["path"].endswith(LARGE_NAMES) or file["size"] > LARGE
            there = tree.get(file["path"])
            answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if there:
                answer["oid"] = there.sha256 if there.is_large else there.git_oid
            answers.append(answer)
        return 200, {"files": answers}, {}

    def _batch(self, kind: str, name: str) -> tuple[int, Any, dict[str, str]]:
        self._writer(name.split("/")[0])
        repository, answers = self._repository(kind, name), []
        for wish in json.loads(self.body)["objects"]:
            answer = {"oid": wish["oid"], "size": wish["size"]}
            if wish["oid"] not in repository.objects:
                href = f"http://{self.headers['Host']}/lfs/{kind}/{name}/{wish['oid']}"
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            answers.append(answer)
        return 200, {"transfer": "basic", "objects": answers}, {}

    def _put(self, kind: str, name: str, oid: str) -> tuple[int, Any, dict[str, str]]:
        blob = Blob(self.body, True)
        if blob.sha256 != oid:
            raise _RefusedError(400, "The content does not have the sha256 that was announced")
        self.state.repositories[kind, name].objects[oid] = blob
        return 200, {}, {}

    def _commit(self, repository: Repository, revision: str) -> tuple[int, Any, dict[str, str]]:
        if len(repository.commits) > self.state.commit_quota:
            raise _RefusedError(429, "You have exceeded the rate limit for repository commits", Retry_After="3600")
        if revision != "main":
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in self.body.splitlines()]
        header, tree, kind = lines[0]["value"], dict(repository.head.tree), self.parts[1].removesuffix("s")
        parent = header.get("parentCommit")
        if parent and repository.at(parent) is None:
            raise _RefusedError(404, f"Invalid rev id: {parent}", "RevisionNotFound")
        if parent and parent != repository.head.sha:
            raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in repository.objects:
                    raise _RefusedError(400, f"The LFS object {value['oid']} was never uploaded")
                tree[value["path"]] = repository.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                if tree.pop(value["path"], None) is None:
                    raise _RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
            else:
                raise _RefusedError(400, f"unknown operation {line['key']}")
        if "README.md" in tree and (errors := yaml_errors(tree["README.md"].content.decode(), kind)):
            raise _RefusedError(400, errors[0])
        made = repository.commit(header["summary"], tree)
        place = "/".join(self.parts[2:4] if self.parts[1] == "models" else self.parts[1:4])
        address = f"http://{self.headers['Host']}/{place}/commit/{made.sha}"
        return 200, {"success": True, "commitOid": made.sha, "commitUrl": address}, {}

    def _tag(self, repository: Repository, revision: str) -> tuple[int, Any, dict[str, str]]:
        tag = json.loads(self.body)["tag"]
        target = self._revision(repository, revision)
        if tag in repository.tags:
            raise _RefusedError(409, f"Tag {tag} exists already")
        repository.tags[tag] = target.sha
        return 200, {}, {}

    def _file(self, kind: str, name: str, revision: str, path: str) -> tuple[int, Any, dict[str, str]]:
        commit = self._revision(self._repository(kind, name), revision)
        blob = commit.tree.get(path)
        if blob is None:
            raise _RefusedError(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.sha)
        content, end = blob.content, len(blob.content) - 1
        tag = blob.sha256 if blob.is_large else blob.git_oid
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if not wanted:
            return 200, content, headers
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = (int(first), min(int(last), end) if last else end) if first else (max(0, end + 1 - int(last)), end)
        return 206, content[start : end + 1], headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}


def _entries(tree: dict[str, Blob], path: str) -> list[dict[str, Any]]:
    blob = tree.get(path)
    if blob is None:
        below = any(name.startswith(f"{path}/") for name in tree)
        return [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path}] if below else []
    entry: dict[str, Any] = {"type": "file", "oid": blob.git_oid, "size": len(blob.content), "path": path}
    if blob.is_large:
        entry["lfs"] = {
            "oid": blob.sha256,
            "size": len(blob.content),
            "pointerSize": 130,
        }
    return [entry]


def front_matter(text: str) -> dict[str, Any]:
    """Metadata of a card as JSON, {} where it has none that can be read."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError:
        return {}
    return json.loads(json.dumps(found, default=str, skipkeys=True)) if isinstance(found, dict) else {}


def yaml_errors(text: str, kind: str) -> list[str]:
    """What the Hub refuses in a card's metadata."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if not match:
        return []
    try:
        found = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [" ".join(f"YAML: {error}".split())]
    if not isinstance(found, dict):
        return ["the metadata is not a mapping"]
    errors = [f'"{key}" must be a list or a string' for key in ("tags", "license", "language", "datasets", "base_model")
              if not isinstance(found.get(key, []), str | list)]  # fmt: skip
    sizes = found.get("size_categories", [])
    errors += [
        f'"size_categories" has {size}' for size in sizes if not re.fullmatch(r"n<1K|\d+[KMBT]?<n<\d+[KMBT]|n>1T", size)
    ]
    configs = found.get("configs", [])
    if kind != "model":
        errors += [
            '"configs" needs config_name' for config in configs if not isinstance(config.get("config_name"), str)
        ]
        if sum(bool(config.get("default")) for config in configs) > 1:
            errors.append('"configs" has two defaults')
    names = found.get("license")
    if names == "other" and "license_name" not in found:
        errors.append('"license_name" is missing')
    if isinstance(names, list) and any(not isinstance(name, str) for name in names):
        errors.append('"license" holds something else than names')
    return errors
