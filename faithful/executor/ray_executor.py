"""Workers on the nodes of a Ray cluster, behind the same protocol as processes of this machine."""

import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError, one_line
from faithful.executor.protocol import Event, Main, Share
from faithful.executor.ray_host import Host

HEAR_SECONDS = 1.0


class RayExecutor:
    """Actors of the cluster that this process is connected to; see `faithful.executor.protocol.Executor`.

    Ray places them, and ends them when this process ends, however it does. One that dies, or whose node does, is not
    started again by Ray: whoever hands out the work knows what it had in hand, and starts another.
    """

    replaces = True

    def __init__(self, name: str = "worker") -> None:
        self.name = name
        self.workers: list[RayWorker] = []
        self.heard: dict[Any, RayWorker] = {}

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()

    def start(self, number: int, share: Share, main: Main, *arguments: Any) -> "RayWorker":
        """Ask for an actor; it begins when a node has room for it."""
        import ray

        on_gpu = share.device == "cuda"
        remote: Any = ray.remote  # whose types know no concurrency groups
        actor = remote(
            num_cpus=1 if on_gpu else share.threads,
            num_gpus=share.gpus if on_gpu else 0,
            max_restarts=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={"post": 1, "hear": 1},
        )(Host)
        packed = pickle.dumps((main, arguments))
        worker = RayWorker(actor.remote(number, share, self.name, str(Path.cwd()), packed))
        self.workers.append(worker)
        self._listen(worker)
        return worker

    def events(self, seconds: float) -> Iterator[Event]:
        """What workers have said, waiting at most `seconds` for the first of it.

        Raises:
            FaithfulError: the cluster itself is gone.
        """
        import ray
        from ray.exceptions import RayError

        if not self.heard:
            time.sleep(seconds)
            return
        try:
            ready, _ = ray.wait(list(self.heard), num_returns=1, timeout=seconds)
            if ready:
                ready, _ = ray.wait(list(self.heard), num_returns=len(self.heard), timeout=0)
        except RayError as error:
            raise FaithfulError(
                f"The Ray cluster is lost: {one_line(error)}; run the same command again to go on."
            ) from error
        for reference in ready:
            worker = self.heard.pop(reference)
            try:
                answer = ray.get(reference)
                if not worker.node:
                    worker.node, answer = answer, []
                said = [pickle.loads(packed) for packed in answer]
            except RayError as error:
                said = [("died", _why(error))]
            if any(kind == "died" for kind, _ in said):
                worker.end()
            else:
                self._listen(worker)
            for kind, content in said:
                yield worker, kind, content

    def _listen(self, worker: "RayWorker") -> None:
        """Ask the host for what its worker says next; one such question is always under way, so that the order stays."""
        ask = worker.host.hear if worker.node else worker.host.name
        stated = (HEAR_SECONDS,) if worker.node else ()
        self.heard[ask.options(concurrency_group="hear").remote(*stated)] = worker


class RayWorker:
    """An actor as whoever started it knows it."""

    def __init__(self, host: Any) -> None:
        self.host, self.node = host, ""
        self.ended = False

    def tell(self, kind: str, content: Any = None) -> bool:
        """Tell the worker; whether it is not known to be dead."""
        if not self.ended:
            self.host.post.options(concurrency_group="post").remote(pickle.dumps((kind, content)))
        return not self.ended

    def end(self) -> None:
        """End it, whatever it does."""
        import ray

        if not self.ended:
            self.ended = True
            ray.kill(self.host)


def _why(error: Exception) -> str:
    """How a worker was lost, in a word or two."""
    name = type(error).__name__
    return {"ActorDiedError": "its actor died", "ActorUnavailableError": "its node cannot be reached"}.get(name, name)
