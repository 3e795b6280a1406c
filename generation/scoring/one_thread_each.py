"""Pieces of work on a CPU, several at once and each on one thread, their results in order.

Threads that share one piece wait for each other at every step: on a machine with other work the slowest decides (scoring
with `tiny` on two cores went at 807 to 8,197 tokens/s as others came and went), and how a sum is shared out changes its
last bits. A piece on one thread gives the same bits whatever runs beside it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def one_thread_each(function: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
    """Results of `function` in the order of the items; no more than twice `at_once` of them wait.

    Args:
        function: may run in several threads at once.
        items: taken in the calling thread.
        at_once: threads.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(at_once, "scoring", initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # what later threads begin with is common to the process
