"""Alarms of links: one timer a connection, and a bounded number of rings a turn of the loop.

Thousands of tokens may end in the same second. Their connections are then closed a few at a time,
so that nobody else waits for all of them.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from sfu_wrapper.gateway.outgoing import Outgoing
from sfu_wrapper.gateway.turns import Errands
from sfu_wrapper.ports.system import Clock

_RINGS_A_TURN = 16


class Link(Protocol):
    """Something that has to look at the clock once in a while."""

    @property
    def due_ms(self) -> int | None:
        """When ``tick`` has something to do, monotonic; None: never."""
        ...

    def tick(self) -> list[Outgoing]:
        """Look at the clock; returns what is to be sent."""
        ...


class Alarms:
    """The alarms of all connections of one server."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._ringing = Errands(_RINGS_A_TURN)

    def of(self, link: Link, put: Callable[[list[Outgoing]], None]) -> "Alarm":
        """Return the alarm of one link. put: sends what its ticks return."""
        return Alarm(self, link, put)

    def ring(self, alarm: "Alarm") -> None:
        """Have an alarm ring in its turn."""
        self._ringing.add(alarm.ring)


class Alarm:
    """Calls ``tick`` of a link when it is due."""

    def __init__(self, alarms: Alarms, link: Link, put: Callable[[list[Outgoing]], None]) -> None:
        self._alarms = alarms
        self._link = link
        self._put = put
        self._due_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Look at when the link is due now."""
        due_ms = self._link.due_ms
        if due_ms == self._due_ms:
            return
        self.cancel()
        self._due_ms = due_ms
        if due_ms is not None:
            delay_s = (due_ms - self._alarms.clock.now().mono_ms) / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(delay_s, 0), self._alarms.ring, self)

    def cancel(self) -> None:
        """Do not ring any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due_ms = None

    def ring(self) -> None:
        """Ring, unless it was cancelled since it was due."""
        if self._timer is None:
            return
        self.cancel()
        self._put(self._link.tick())
        self.set()
