"""A Hub of our own on this machine: the few endpoints that streaming a data set asks, and the faults to be survived."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories and what goes wrong with them.

    Attributes:
        files: repository → path → content.
        gated: repositories whose files need a login.
        failing: (repository, path) → statuses or "drop" to answer with, in order, before answering well; the path of
            the repository's description is "".
        asked: how often each (method, path) was asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.failing: dict[tuple[str, str], list[int | str]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.bytes_sent: Counter[tuple[str, str]] = Counter()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve it from a thread; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._route()

        def do_GET(self) -> None:
            self._route()

        def do_POST(self) -> None:
            self._route()

        def _route(self) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path)
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.asked[self.command, path] += 1
            parts = path.strip("/").split("/")
            if path == "/fail":
                order = json.loads(self.body)
                hub.failing[order["repo"], order["path"]] = order["faults"]
                self._send(200, b"")
            elif path == "/sent":
                self._json(sum(hub.bytes_sent.values()))
            elif not path.strip("/"):
                self._send(200, b"hub")
            elif parts[:2] == ["api", "datasets"]:
                self._api("/".join(parts[2:4]), parts[4:])
            elif parts[0] == "datasets" and "resolve" in parts:
                self.revision = SHA if parts[4] == "main" else parts[4]
                self._file("/".join(parts[1:3]), "/".join(parts[5:]))
            else:
                self._send(404, b"")

        def _api(self, repo: str, rest: list[str]) -> None:
            if repo not in hub.files:
                self._error(401 if repo.startswith("private/") else 404, "RepoNotFound")
            elif not rest or rest[0] == "revision":
                faults = hub.failing.get((repo, ""))
                if faults:
                    self._send(int(faults.pop(0)), b"")
                    return
                revision = rest[1] if rest else "main"
                if revision != "main" and len(revision) != len(SHA):
                    self._error(404, "RevisionNotFound")
                    return
                card = {"license": "odc-by"} if repo.startswith("open/") else {}
                siblings = [{"rfilename": name} for name in hub.files[repo]]
                gated = "manual" if repo in hub.gated else False
                sha = SHA if revision == "main" else revision
                info = {"id": repo, "sha": sha, "cardData": card, "siblings": siblings, "gated": gated}
                self._json(info | {"private": False, "downloads": 0, "likes": 0, "tags": []})
            elif rest[0] == "tree":
                self._json(self._tree(repo, "/".join(rest[2:])))
            elif rest[0] == "paths-info":
                values = parse_qs(self.body.decode())
                wanted = values.get("paths") or json.loads(self.body)["paths"]
                self._json([entry for path in wanted for entry in self._info(repo, path)])
            else:
                self._send(404, b"")

        def _tree(self, repo: str, folder: str) -> list[dict[str, object]]:
            recursive = "recursive=true" in self.path.lower()
            prefix = f"{folder}/" if folder else ""
            below = [name for name in hub.files[repo] if name.startswith(prefix)]
            entries: list[dict[str, object]] = []
            for name in below:
                head, *deeper = name.removeprefix(prefix).split("/")
                if deeper:
                    entry = {"type": "directory", "oid": "0" * 40, "size": 0, "path": prefix + head}
                    if entry not in entries:
                        entries.append(entry)
                if recursive or not deeper:
                    entries += self._info(repo, name)
            return entries

        def _info(self, repo: str, path: str) -> list[dict[str, object]]:
            content = hub.files[repo].get(path)
            if content is not None:
                return [
                    {"type": "file", "oid": f"{hash(path) & (16**40 - 1):040x}", "size": len(content), "path": path}
                ]
            if any(name.startswith(f"{path}/") for name in hub.files[repo]):
                return [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path}]
            return []

        def _file(self, repo: str, path: str) -> None:
            content = hub.files.get(repo, {}).get(path)
            if repo not in hub.files:
                self._error(401, "RepoNotFound")
            elif repo in hub.gated:
                self._error(403, "GatedRepo")
            elif content is None:
                self._error(404, "EntryNotFound")
            else:
                self._content(repo, path, content)

        def _content(self, repo: str, path: str, content: bytes) -> None:
            faults = hub.failing.get((repo, path), [])
            fault = faults.pop(0) if faults and self.command == "GET" else None
            if isinstance(fault, int):
                self._send(fault, b"")
                return
            wanted, status = self.headers.get("Range"), 200
            start, end = 0, len(content) - 1
            if wanted:
                status = 206
                first, last = wanted.removeprefix("bytes=").split("-")
                start, end = int(first), min(int(last), end) if last else end
            piece = content[start : end + 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(piece)))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{len(content)}"')
            self.send_header("X-Repo-Commit", self.revision)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "drop":
                self.wfile.write(piece[: len(piece) // 2])
                self.close_connection = True
                self.connection.close()
                return
            hub.bytes_sent[repo, path] += len(piece)
            self.wfile.write(piece)

        def _error(self, status: int, code: str) -> None:
            self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
