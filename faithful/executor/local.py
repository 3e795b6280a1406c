"""Workers that are processes of this machine."""

import contextlib
import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from faithful.base.errors import FaithfulError, sentence_of
from faithful.base.files import reason_of
from faithful.executor.child import environment, start_child
from faithful.executor.protocol import Event, LinkGone, Main, Share

GRACE_SECONDS, END_SECONDS = 0.3, 5.0


class LocalExecutor:
    """Processes of this machine; see `faithful.executor.protocol.Executor`."""

    replaces = False

    def __init__(self, name: str = "worker") -> None:
        self.name = name
        self.inbox: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self.workers: list[LocalWorker] = []

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self.workers)

    def start(self, number: int, share: Share, main: Main, *arguments: Any) -> "LocalWorker":
        """Start a process.

        Raises:
            FaithfulError: the system gives no process or pipe.
        """
        name = f"{self.name}-{number}"
        try:
            ours, theirs = Pipe()
            with environment({} if share.is_forked else share.environment(number)):
                process = start_child(_begin, theirs, main, arguments, name=name, forked=share.is_forked)
        except OSError as error:
            raise FaithfulError(f"Cannot start a process: {reason_of(error)}; use fewer --workers.") from error
        theirs.close()
        worker = LocalWorker(process, ours, self.inbox)
        self.workers.append(worker)
        return worker

    def events(self, seconds: float) -> Iterator[Event]:
        """What workers have said, waiting at most `seconds` for the first of it."""
        for worker, packed in self.letters(seconds):
            kind, content = pickle.loads(packed)
            yield worker, kind, content

    def letters(self, seconds: float) -> "Iterator[Letter]":
        """The same as it was sent, for whoever passes it on: a kind and a content, pickled."""
        try:
            yield self.inbox.get(timeout=seconds)
            while True:
                yield self.inbox.get_nowait()
        except queue.Empty:
            return


class LocalWorker:
    """A process; what it says is taken off the pipe at once, so that neither end ever waits for the other to read."""

    def __init__(self, process: BaseProcess, connection: Connection, inbox: "queue.SimpleQueue[Letter]") -> None:
        self.process, self.connection, self.node = process, connection, "here"
        self.listener = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self.listener.start()

    def tell(self, kind: str, content: Any = None) -> bool:
        """Tell the process; whether it could still be told."""
        return self.post(pickle.dumps((kind, content)))

    def post(self, packed: bytes) -> bool:
        """The same, of what is pickled already."""
        try:
            self.connection.send_bytes(packed)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of a process that has ended."""
        self.listener.join(END_SECONDS)
        self.connection.close()

    def _listen(self, inbox: "queue.SimpleQueue[Letter]") -> None:
        try:
            while True:
                inbox.put((self, self.connection.recv_bytes()))
        except (EOFError, OSError):
            self.process.join(END_SECONDS)
            inbox.put((self, pickle.dumps(("died", self.process.exitcode))))


Letter = tuple[LocalWorker, bytes]


def stop_all(workers: Sequence[LocalWorker]) -> None:
    """End processes, all at the same time: ask, then terminate, then kill."""
    for worker in workers:
        worker.tell("stop")
    processes = [worker.process for worker in workers]
    _wait(processes, GRACE_SECONDS)
    for process in processes:
        if process.is_alive():
            process.terminate()
    _wait(processes, END_SECONDS)
    for process in processes:
        if process.is_alive():
            process.kill()
    _wait(processes, END_SECONDS)
    for worker in workers:
        worker.close()


def _wait(processes: Sequence[BaseProcess], seconds: float) -> None:
    """Wait until all have ended, at most `seconds` altogether."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


class LocalLink:
    """A process' end of its pipe."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def say(self, kind: str, content: Any = None) -> None:
        """Tell whoever started the process."""
        packed = pickle.dumps((kind, content))
        try:
            self.connection.send_bytes(packed)
        except OSError as error:
            raise LinkGone from error

    def hear(self) -> tuple[str, Any]:
        """The next thing told; waits for it."""
        try:
            packed = self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise LinkGone from error
        kind, content = pickle.loads(packed)
        return kind, content

    def has_mail(self) -> bool:
        """Whether `hear` would answer at once."""
        return self.connection.poll()


def _begin(connection: Connection, main: Main, arguments: tuple[Any, ...]) -> None:
    """Main function of a process: errors that a user can mend are its last words."""
    link = LocalLink(connection)
    try:
        with contextlib.suppress(LinkGone):  # there is nobody to work for any more
            main(link, *arguments)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        with contextlib.suppress(LinkGone):
            link.say("failed", sentence)
    finally:
        connection.close()
