"""One thread that works ahead of another, by a bounded number of items.

The waits here have no deadline of their own: both ends live in a process that has one.
"""

import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

_POLL_S = 0.1  # how soon the worker notices that nobody wants its items any more

Item = TypeVar("Item")


def ahead(produce: Callable[[], Generator[Item]], items: int) -> Generator[Item]:
    """Yield what ``produce()`` does, up to ``items`` of it made in advance in a thread.

    Raises what ``produce`` raises, after the items before it. Leaving the loop early stops the
    thread and closes the generator.
    """
    ready: queue.Queue[Item | None] = queue.Queue(items)
    unwanted = threading.Event()

    def work() -> None:
        try:
            with closing(produce()) as made:
                for item in made:
                    if not _put(ready, item, unwanted):
                        return
        finally:
            _put(ready, None, unwanted)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            while (item := ready.get()) is not None:
                yield item
        finally:
            unwanted.set()
        done.result()


def _put(ready: "queue.Queue[Item | None]", item: Item | None, unwanted: threading.Event) -> bool:
    """False once nobody wants it any more."""
    while not unwanted.is_set():
        try:
            ready.put(item, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
