"""A server with OpenAI's interface whose model explains a latent by the pieces that are marked, and judges by them."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from studies.explanations.prompts import EXPLAIN

Answering = Callable[[list[dict[str, str]]], str]


def oracle(messages: list[dict[str, str]]) -> str:
    """Names every marked piece; finds them again."""
    system, asked = messages[0]["content"], messages[1]["content"]
    if system == EXPLAIN:
        return json.dumps(sorted(set(re.findall(r'\("((?:[^"\\]|\\.)*)", \d+\)', asked))))
    named, _, texts = asked.removeprefix("The feature is active on: ").partition("\n\n")
    pieces = [json.loads(f'"{one}"') for one in json.loads(named)]
    return json.dumps(
        [int(any(piece in text for piece in pieces)) for text in re.split(r"(?:^|\n\n)Text \d+: ", texts)[1:]]
    )


@dataclass
class Server:
    """What a server was asked, and how it answers: `status` other than 200 refuses everything, `refuses` what names that
    parameter, `reason` is why its answers end, `delay` how many seconds they take."""

    answering: Answering = oracle
    models: tuple[str, ...] = ("oracle",)
    status: int = 200
    body: str = ""
    key: str | None = None
    refuses: str = ""
    reason: str = "stop"
    delay: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""
    lock: Lock = field(default_factory=Lock)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, body: Any, status: int = 200) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refused(self) -> bool:
            known = server.key is None or self.headers.get("authorization") == f"Bearer {server.key}"
            status = server.status if known else 401
            if status != 200 or server.body:
                self._send(server.body or {"error": {"message": "said so"}}, status)
            return status != 200 or bool(server.body)

        def do_GET(self) -> None:
            if not self._refused():
                assert self.path == "/v1/models"
                self._send({"object": "list", "data": [{"id": one, "object": "model"} for one in server.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self._refused():
                return
            if server.refuses in body and server.refuses:
                self._send({"error": {"message": f"Unsupported parameter: '{server.refuses}'"}}, 400)
                return
            time.sleep(server.delay)
            assert self.path == "/v1/chat/completions"
            with server.lock:
                server.asked.append(body)
            try:
                said = server.answering(body["messages"])
            except LookupError:
                self._send({"error": {"message": "not this one"}}, 400)
                return
            choice = {"index": 0, "finish_reason": server.reason, "message": {"role": "assistant", "content": said}}
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            self._send(
                {
                    "id": "x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "oracle",
                    "choices": [choice],
                    "usage": usage,
                }
            )

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{httpd.server_port}/v1"
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
