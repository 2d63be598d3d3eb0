"""A store whose commits wait until a test releases them."""

import asyncio
from asyncio import Future
from collections.abc import Callable

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.ports.store import Commit, OutboxRow


class HeldStore(MemoryStore):
    """A store whose commits wait while ``held`` is set, until they are released.

    Attributes:
        arrived: Set once a commit waits.
    """

    held = False

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        if not self.held:
            return super().commit(commit, epoch)
        later: Future[tuple[OutboxRow, ...]] = asyncio.get_running_loop().create_future()

        def write() -> None:
            done = super(HeldStore, self).commit(commit, epoch)
            done.add_done_callback(lambda done: later.set_result(done.result()))

        self._waiting.append(write)
        self.arrived.set()
        return later

    def release(self) -> None:
        """Store what has waited; further commits are stored at once."""
        self.held = False
        self.arrived.clear()
        waiting, self._waiting = self._waiting, []
        for write in waiting:
            write()
