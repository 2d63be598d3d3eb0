"""Precedence of a thread that writes over the event loop, a moment at a time.

Each statement lets go of the interpreter lock, and so does the sync of the disk. To have the lock
back the thread competes with the event loop, which hardly leaves it to anybody while many clients
keep it busy: a commit of twenty statements took 100 ms instead of 3. So the loop pauses in each of
its rounds while statements are executed, which is a matter of microseconds, and for a shorter time
every millisecond while the disk syncs. A slow disk holds it up for a bounded time. Knows nothing of
what is written.
"""

import asyncio
import threading
import time
from enum import Enum
from typing import Final

MOMENT_S: Final = 0.002  # in one round of the loop, while statements are executed
_ROUNDS: Final = 5  # in which the loop pauses for the same statements
_GLANCE_S: Final = 0.0001  # while the disk syncs: for the thread to have the lock back
_BETWEEN_S: Final = 0.001  # from one glance to the next
_GLANCES: Final = 1000  # at the same sync


class Stage(Enum):
    """Part of the work of a thread that writes.

    BUSY: there are statements to execute. SYNCING: the disk is waited for. IDLE: there is no work.
    """

    IDLE = "idle"
    BUSY = "busy"
    SYNCING = "syncing"


class Precedence:
    """The stage of one thread, and the pauses of the event loop that go with it.

    Args:
        changed: held by whoever calls ``enter``.
        moment_s: longest pause of one round of the loop, in seconds.
    """

    def __init__(self, changed: threading.Condition, moment_s: float) -> None:
        self._changed = changed
        self._moment_s = moment_s
        self._stage = Stage.IDLE
        self._left_s = 0.0
        self._asked: asyncio.AbstractEventLoop | None = None

    def enter(self, stage: Stage) -> None:
        """Note another stage; the present one is left as it is."""
        if stage is self._stage:
            return
        self._stage = stage
        self._left_s = _ROUNDS * self._moment_s if stage is Stage.BUSY else _GLANCES * _GLANCE_S
        self._changed.notify_all()

    def wanted(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop pause from its next round on; called as ``enter`` is, where work came."""
        if self._stage is Stage.IDLE:
            self.enter(Stage.BUSY)
        self._ask(loop, 0)

    def _ask(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        """Have the loop pause once; one that is about to is not asked again."""
        if self._asked is not loop:
            self._asked = loop
            loop.call_later(delay_s, self._give, loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asked = None
        with self._changed:
            stage = self._pause()
        if stage is not Stage.IDLE:
            self._ask(loop, 0 if stage is Stage.BUSY else _BETWEEN_S)

    def _pause(self) -> Stage:
        """Wait a moment for another stage. Returns the stage; IDLE where all patience is lost."""
        stage = self._stage
        if stage is Stage.IDLE or self._left_s <= 0:
            return Stage.IDLE
        most_s = self._moment_s if stage is Stage.BUSY else _GLANCE_S
        began_s = time.monotonic()
        if not self._changed.wait_for(lambda: self._stage is not stage, most_s):
            self._left_s -= time.monotonic() - began_s
        return self._stage
