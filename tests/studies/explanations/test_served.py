"""A real server of vLLM, as `faithful explain` meets one; its model is random, and explains nothing."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.cli import app

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]
TEMPLATE = "{% for one in messages %}{{ one['content'] }}\n{% endfor %}"


@pytest.fixture
def address(family_folder: Callable[[str], Path], tmp_path: Path) -> Iterator[str]:
    """The address of a server on a free port."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    folder = shutil.copytree(family_folder("llama"), tmp_path / "random-chat")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    words = [
        "--model",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
    ]
    words += ["--max-model-len", "8192", "--chat-template", TEMPLATE, "--served-model-name", "random-chat"]
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words], env=environment, stdout=file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        place = f"http://127.0.0.1:{port}"
        while not _answers(f"{place}/health"):
            assert server.poll() is None, log.read_text(encoding="utf-8")[-3000:]
            time.sleep(0.5)
        yield f"{place}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _answers(place: str) -> bool:
    try:
        with urllib.request.urlopen(place, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_command_asks_a_server_of_vllm(address: str, run: Path, tmp_path: Path) -> None:
    words = [
        "explain",
        str(run / "saes" / "own"),
        "--out",
        str(tmp_path / "out"),
        "--endpoint",
        address,
        "--latents",
        "2",
    ]
    words += ["--tokens", "3000", "--device", "cpu", "--corpus", str(run / "corpora" / "own"), "--json"]
    settings = [word for pair in ("shown=5", "judged=5", "answer_tokens=16") for word in ("--set", pair)]
    done = CliRunner().invoke(app, words + settings)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["explainer"] == "random-chat" and summary["corpora"]["own"]["explained"]["value"] == 0
    sizes = summary["sizes"]
    assert sizes["explanations"] == 3 * 2 * 2 and sizes["unread"] == sizes["answers"], (
        "it says nothing that can be read"
    )
    judged = 3 * 2 * 3 * 2 - sizes["answers"]  # what was cut off after 16 tokens is judged by nobody
    assert judged % 2 == 0 and (judged == 0) == (sizes["unexplained"] == 0)
    assert sizes["read"] > 2_000 and 0 < sizes["written"] <= 16 * (12 + 36)
