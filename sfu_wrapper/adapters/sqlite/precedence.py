"""Short pauses of the event loop in favour of the writing thread.

Each SQL statement and each disk sync releases the interpreter lock. To get it back, the writing
thread competes with the event loop, which rarely releases it while it serves many clients: a commit
of twenty statements took 100 ms instead of 3. Therefore the loop pauses once per iteration while
statements are executed (microseconds each), and for a shorter time once per millisecond while the
disk syncs. The pauses for one stage are bounded, so that a slow disk cannot stop the loop.

``Writer`` reports its stage with ``enter``, and calls ``wanted`` for each submitted job.
"""

import asyncio
import threading
import time
from enum import Enum
from typing import Final

MOMENT_S: Final = 0.002  # longest pause per iteration, while statements are executed
_ROUNDS: Final = 5  # pauses for the same statements
_SYNC_PAUSE_S: Final = 0.0001  # pause while the disk syncs: lets the thread get the lock back
_SYNC_INTERVAL_S: Final = 0.001  # interval of these pauses
_SYNC_PAUSES: Final = 1000  # pauses for the same sync


class Stage(Enum):
    """Stage of the writing thread.

    Attributes:
        IDLE: no work.
        BUSY: executes statements.
        SYNCING: waits for the disk.
    """

    IDLE = "idle"
    BUSY = "busy"
    SYNCING = "syncing"


class Precedence:
    """Stage of the writing thread, and the resulting pauses of the event loop.

    Args:
        changed: condition that callers of ``enter`` and ``wanted`` hold.
        moment_s: longest pause per iteration of the loop, in seconds.
    """

    def __init__(self, changed: threading.Condition, moment_s: float) -> None:
        self._changed = changed
        self._moment_s = moment_s
        self._stage = Stage.IDLE
        self._left_s = 0.0
        self._scheduled: asyncio.AbstractEventLoop | None = None

    def enter(self, stage: Stage) -> None:
        """Change the stage, and reset the budget of pauses; the same stage again does nothing."""
        if stage is self._stage:
            return
        self._stage = stage
        self._left_s = (
            _ROUNDS * self._moment_s if stage is Stage.BUSY else _SYNC_PAUSES * _SYNC_PAUSE_S
        )
        self._changed.notify_all()

    def wanted(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the loop pause from its next iteration on, since there is work for the thread."""
        if self._stage is Stage.IDLE:
            self.enter(Stage.BUSY)
        self._schedule(loop, 0)

    def _schedule(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        """Schedule a pause of the loop, unless one is scheduled."""
        if self._scheduled is not loop:
            self._scheduled = loop
            loop.call_later(delay_s, self._pause_once, loop)

    def _pause_once(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = None
        with self._changed:
            stage = self._pause()
        if stage is not Stage.IDLE:
            self._schedule(loop, 0 if stage is Stage.BUSY else _SYNC_INTERVAL_S)

    def _pause(self) -> Stage:
        """Wait shortly for a change of stage.

        Returns:
            The stage; IDLE once the budget of pauses is used up.
        """
        stage = self._stage
        if stage is Stage.IDLE or self._left_s <= 0:
            return Stage.IDLE
        most_s = self._moment_s if stage is Stage.BUSY else _SYNC_PAUSE_S
        began_s = time.monotonic()
        if not self._changed.wait_for(lambda: self._stage is not stage, most_s):
            self._left_s -= time.monotonic() - began_s
        return self._stage
