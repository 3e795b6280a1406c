"""What work done elsewhere looks like to whoever hands it out, wherever it is done: in processes here, or on a cluster.

An executor starts workers. A worker runs one function, which is given its `Link`: over it the two tell each other things,
each a kind (a word) and a content that can be pickled. What workers say arrives as events of the executor, in the order
said: first whatever their functions say, last `failed` (a sentence) if an error ended them, and `died` (the exit status).
Leaving the executor ends its workers, whatever they do; so does the end of the process that holds it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

Main = Callable[..., None]
"""A function of a module: (link, *arguments)."""


class LinkGone(Exception):
    """Whoever started the worker is gone: nobody to work for."""


class Link(Protocol):
    """A worker's end of the line."""

    def say(self, kind: str, content: Any = None) -> None:
        """Tell whoever started the worker.

        Raises:
            LinkGone: it is gone.
        """

    def hear(self) -> tuple[str, Any]:
        """The next thing told, kind and content; waits for it.

        Raises:
            LinkGone: whoever started the worker is gone.
        """

    def has_mail(self) -> bool:
        """Whether `hear` would answer at once."""


class Worker(Protocol):
    """The other end: a worker as whoever started it knows it.

    Attributes:
        node: name of the machine that it is on; '' while there is no room for it.
    """

    node: str

    def tell(self, kind: str, content: Any = None) -> bool:
        """Tell the worker; whether it could still be told: of one that is dead the executor says `died`."""


Event = tuple[Worker, str, Any]


class Executor(Protocol):
    """Starts workers and hears from them.

    Attributes:
        replaces: whether workers may be lost for no fault of their work, so that others do what a dead one had in hand.
    """

    replaces: bool

    def __enter__(self) -> "Executor": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(self, number: int, share: "Share", main: Main, *arguments: Any) -> Worker:
        """Start a worker.

        Args:
            number: which of them it is.
            share: what it has of the machine.
            main: what it runs.
            arguments: of `main`, after the link.

        Raises:
            FaithfulError: there is no place for it.
        """

    def events(self, seconds: float) -> Iterator[Event]:
        """What workers have said, waiting at most `seconds` for the first of it."""


def is_fault(how: int | str) -> bool:
    """Whether a worker that died as `died` says ended by itself: nobody took it away, and another would end as it did."""
    return isinstance(how, int) and how > 0


@dataclass(frozen=True)
class Share:
    """What a worker has of the machine.

    Attributes:
        device: `cpu`, or `cuda` for the GPUs of the worker's number.
        threads: CPU threads.
        deterministic: whether a GPU's products are to repeat bit by bit.
        gpus: how many GPUs it has, where `device` is `cuda`.
        inherits: it begins with all that whoever starts it has loaded, where that is possible: on Linux, for one thread on a
            CPU. It must not need what does not outlive a fork (polars, further CPU threads).
    """

    device: str
    threads: int = 1
    deterministic: bool = False
    inherits: bool = False
    gpus: int = 1

    @property
    def is_forked(self) -> bool:
        """Whether such a worker on this machine begins with what is loaded here."""
        return self.inherits and self.device == "cpu" and self.threads == 1 and sys.platform == "linux"

    def environment(self, number: int) -> dict[str, str]:
        """Environment variables that worker `number` is born with: its threads on a CPU, or its GPU.

        Tokenizers keep to one thread: each would else take every core that its neighbours work on.
        """
        values = {"TOKENIZERS_PARALLELISM": "false"}
        if self.device == "cpu":
            threads = str(self.threads)
            policy = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
            return values | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": policy}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        there = visible.split(",") if visible else [str(i) for i in range((number + 1) * self.gpus)]
        first = number * self.gpus % len(there)
        values["CUDA_VISIBLE_DEVICES"] = ",".join(there[first : first + self.gpus])
        if self.deterministic:
            values["CUBLAS_WORKSPACE_CONFIG"] = os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return values
