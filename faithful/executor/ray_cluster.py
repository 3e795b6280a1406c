"""A Ray cluster to hand out work to: connected to or started, looked over before any work, and let go of at the end."""

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faithful.base.devices import known_device
from faithful.base.errors import FaithfulError, one_line
from faithful.base.files import write_text
from faithful.executor.protocol import Share
from faithful.executor.ray_executor import RayExecutor
from faithful.executor.ray_host import look, look_at_processors
from faithful.executor.where import Place, at, current_place, refuse_missing_gpus

INSTALL = "pip install 'faithful-sae[ray]'"
ANSWER_SECONDS, LOOK_SECONDS = 5.0, 120.0
STORE_BYTES = 256 * 2**20
"""Of the object store of a cluster of our own: what workers say is small."""


@dataclass(frozen=True)
class RayNode:
    """A node of the cluster.

    Attributes:
        name: host name and address.
        cpus, gpus: what Ray hands out of it.
        versions: of Python and the packages that decide what comes out.
        processors: what torch computes with, by device: vector instructions, names of GPUs. Empty where paths were asked for.
        unseen: paths asked for that it does not see.
        problem: why it could not be asked; '' where it could.
    """

    name: str
    cpus: int
    gpus: int
    versions: dict[str, str]
    processors: dict[str, list[str]] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    problem: str = ""


class RayPlace:
    """The cluster that this process is connected to; see `faithful.executor.where.Place`.

    Args:
        nodes: what was found of its nodes, with their processors.
    """

    is_here = False

    def __init__(self, nodes: Sequence[RayNode] = ()) -> None:
        self.nodes = nodes

    @property
    def device(self) -> str | None:
        """The GPUs of the cluster, where it has any."""
        return "cuda" if self.gpus() else "cpu"

    def executor(self, name: str) -> RayExecutor:
        """Actors of the cluster."""
        return RayExecutor(name)

    def count(self, workers: int | None, share: Share) -> int:
        """As stated, else as many as the nodes have room for."""
        if share.device == "cuda":
            most, wanted = self.gpus(share.gpus) // share.gpus, f"{share.gpus} GPUs"
        else:
            most, wanted = sum(cpus // share.threads for cpus, _ in self._rooms()), f"{share.threads} CPUs"
        if not most:
            raise FaithfulError(f"No node of the cluster has the {wanted} that a worker is to have; give it fewer.")
        return workers or most

    def gpus(self, each: int = 1) -> int:
        """GPUs of all nodes, of each those that make whole groups."""
        return sum(gpus - gpus % each for _, gpus in self._rooms())

    def share(self, device: str, workers: int | None, threads: int | None = None, *, inherits: bool = False) -> Share:
        """One CPU thread or GPU for each worker, where nothing is stated; none begins with what is loaded here."""
        if device == "cuda":
            refuse_missing_gpus(workers)
        return Share(device, threads or 1)

    def check_device(self, name: str | None) -> str:
        """The device asked for, by default the GPUs of the cluster; of one kind on all nodes."""
        device = known_device(name or self.device)
        self.processor(device)
        return device

    def processor(self, device: str) -> str:
        """See `faithful.executor.where.Place`."""
        if device == "cuda":
            refuse_missing_gpus(1)
        if mixed := mixture(self.nodes, device):
            raise FaithfulError(mixed)
        return next(iter(_kinds(self.nodes, device)), "")

    def refuse_unseen(self, *folders: Path) -> None:
        """Refuse folders that a node does not see: every node is asked for a file that is written into the first one.

        Raises:
            FaithfulError: a node does not see one; names both. Or it does not answer.
        """
        token = folders[0].resolve() / f".seen-by-nodes-{os.getpid()}"
        write_text(token, "Every node of the cluster must see this file.\n")
        try:
            for node in look_at_nodes(token, [folder.resolve() for folder in folders[1:]]):
                if node.problem:
                    raise FaithfulError(f"{node.name} cannot be asked what it sees: {node.problem}.")
                for path in node.unseen:
                    place = Path(path).parent if path == str(token) else path
                    raise FaithfulError(
                        f"{node.name} does not see {place}; this needs a folder that all nodes share: choose another"
                        " --out, or mount it there."
                    )
        finally:
            token.unlink(missing_ok=True)

    def _rooms(self) -> list[tuple[int, int]]:
        """CPUs and GPUs of each node."""
        return [_room(node) for node in _alive()]


@contextmanager
def on_ray(address: str | None = None) -> Iterator[Place]:
    """Hand out work to a Ray cluster meanwhile: connect to it, or start one on this machine and stop it at the end.

    Args:
        address: `HOST:PORT` of the head, or `auto` for the one that runs here; None starts one.

    Raises:
        FaithfulError: Ray is not installed, nobody answers, or the versions of nodes differ from those here.
    """
    with connected(address):
        nodes = look_at_nodes()
        differing = differences(nodes)
        if differing:
            raise FaithfulError(f"{' '.join(differing[:3])} Install the same versions on every node.")
        where = RayPlace(nodes)
        with at(where):
            yield where


def look_at_nodes(token: Path | None = None, needed: Sequence[Path] = ()) -> list[RayNode]:
    """All nodes that work can be handed to, asked at the same time.

    Args:
        token: a file that each is asked for.
        needed: other paths that each is asked for.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in _alive() if any(_room(node))]
    task, stated = (ray.remote(look), (token, needed)) if token else (ray.remote(max_calls=1)(look_at_processors), ())
    asked = [
        task.options(
            num_cpus=0, max_retries=1, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False)
        ).remote(*stated)
        for node in nodes
    ]
    found = []
    for node, question in zip(nodes, asked, strict=True):
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})"
        try:
            seen = ray.get(question, timeout=LOOK_SECONDS)
            found.append(
                RayNode(name, *_room(node), seen["versions"], seen.get("processors", {}), tuple(seen["unseen"]))
            )
        except Exception as error:  # whatever keeps a node from answering
            if all(node["NodeID"] != other["NodeID"] for other in _alive()):
                continue  # it was dead already, which Ray had not noticed yet
            cause = getattr(error, "cause", None) or error
            found.append(RayNode(name, *_room(node), {}, problem=one_line(cause)))
    return found


def differences(nodes: Sequence[RayNode]) -> list[str]:
    """What each node has otherwise than this machine, as sentences."""
    here, sentences = look(None, ())["versions"], []
    for node in nodes:
        if node.problem:
            sentences.append(f"{node.name} cannot load faithful: {node.problem}.")
            continue
        for name in sorted(here.keys() | node.versions.keys()):
            if node.versions.get(name) != here.get(name):
                theirs, ours = node.versions.get(name, "none"), here.get(name, "none")
                sentences.append(f"{node.name} has {name} {theirs}, and this machine has {ours}.")
    return sentences


def mixture(nodes: Sequence[RayNode], device: str) -> str:
    """A sentence where the nodes that have such a device do not all compute with one kind; '' where they do."""
    kinds = _kinds(nodes, device)
    if len(kinds) < 2 and "" not in kinds:
        return ""
    what = "GPUs" if device == "cuda" else "vector instructions"
    found = ", ".join(f"{kind or 'none that torch sees'} on {name}" for kind, name in kinds.items())
    return f"The nodes have no one kind of {what} ({found}), which decides the bytes that come out; take nodes of one."


def _kinds(nodes: Sequence[RayNode], device: str) -> dict[str, str]:
    """What the nodes compute with, and the first that has it; '' is of GPUs that torch does not see."""
    kinds: dict[str, str] = {}
    for node in nodes:
        if node.gpus if device == "cuda" else node.cpus:
            for kind in node.processors[device] or [""]:
                kinds.setdefault(kind, node.name)
    return kinds


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """Be connected to a cluster meanwhile, whatever its nodes are; see `on_ray`.

    Raises:
        FaithfulError: Ray is not installed, or nobody answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise FaithfulError(f"Ray is not installed; install it with `{INSTALL}`, here and on every node.")
    if address:
        _refuse_silent(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    stated: dict[str, Any] = {"address": address}
    folder = None
    if address is None:
        os.environ.setdefault("RAY_worker_niceness", "0")  # nothing else is to be done on this machine
        folder = tempfile.mkdtemp(prefix="faithful-ray-")
        stated = {
            "address": "local",
            "num_cpus": len(os.sched_getaffinity(0)),
            "num_gpus": current_place().gpus(),
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "_temp_dir": folder,
        }
    try:
        with _own_signals():
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **stated)
            except Exception as error:  # whatever it is, there is no cluster
                raise FaithfulError(
                    f"Ray cannot {f'connect to {address}' if address else 'start here'}: {one_line(error)}; run this on a"
                    " node of the cluster, with the same versions of Python and Ray."
                ) from error
            try:
                yield
            finally:
                ray.shutdown()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does when it is terminated, which Ray changes."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _refuse_silent(address: str) -> None:
    """Refuse an address that nobody answers at, before Ray waits for it.

    Raises:
        FaithfulError: see above, or one that is none.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise FaithfulError(f"--ray {address} is no address; write HOST:PORT of the cluster's head, or auto.")
    try:
        with contextlib.closing(socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)):
            return
    except OSError as error:
        raise FaithfulError(
            f"Nobody answers at --ray {address} ({error.strerror or error}); start a head there with"
            " `ray start --head --port PORT`, or leave --ray out to start a cluster here."
        ) from error


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _room(node: dict[str, Any]) -> tuple[int, int]:
    """CPUs and GPUs that Ray hands out of a node."""
    resources = node["Resources"]
    return int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
