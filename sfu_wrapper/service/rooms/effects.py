"""Effect runner: executes the effects of commits in order, a bounded number per event loop round.

What enters: the effects of one commit of one room (``start``), after that commit is stored. What
leaves: events to connected clients, requests to the media plane, log records and alarms. Answers
and announcements are not executed here: they were stored, and sent, with the commit. Next, the
runner calls ``on_done``; only then does the room actor start its next commit, so the effects of one
room never overlap.

Rule: one room may have a thousand participants, each of whom gets every event. At most
``NOTICES_PER_ROUND`` notifications are sent in one round of the event loop over all rooms, and the
rooms take turns, ``NOTICES_PER_TURN`` at a time. So a small room waits for one round, not for the
thousand participants of another room. A failing effect does not stop the ones after it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sfu_wrapper.core.effects import Announce, Effect, Notify, Reply, Request, Warn
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.service.rooms.maintenance import Monitor
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.answers import note_payload

NOTICES_PER_ROUND: Final = 32  # notifications in one round of the event loop
NOTICES_PER_TURN: Final = 8  # notifications of one room until the turn of the next room

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """Effects of one commit.

    Attributes:
        steps: yields after each notification.
        on_done: called after the last step.
    """

    steps: Iterator[None]
    on_done: Callable[[], None]


class EffectRunner:
    """Executor of the effects of all rooms.

    Args:
        sessions: connections of the users.
        plane: receives the media requests.
        monitor: receives alarms.
        per_round: maximum number of notifications in one round of the event loop.
    """

    def __init__(
        self,
        sessions: Sessions,
        plane: MediaPlane,
        monitor: Monitor,
        *,
        per_round: int = NOTICES_PER_ROUND,
    ) -> None:
        self._sessions = sessions
        self._plane = plane
        self._monitor = monitor
        self._per_round = per_round
        self._remaining = per_round
        self._waiting: deque[_Job] = deque()
        self._next: asyncio.Handle | None = None

    def start(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        on_error: Callable[[Exception], None],
        on_done: Callable[[], None],
    ) -> None:
        """Execute effects in order, at once if the limit of this round permits.

        Args:
            room: the room as committed; None: no notifications are sent.
            effects: effects of one commit. The caller starts no others before ``on_done``.
            on_error: called with the exception of a failed effect; the others still execute.
            on_done: called once, after the last effect.
        """
        work = _Job(self._steps(room, effects, on_error), on_done)
        if self._waiting or not self._advance(work, self._remaining):
            self._waiting.append(work)

    def close(self) -> None:
        """Drop all effects that are not executed yet."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _advance(self, work: _Job, most: int) -> bool:
        """Take up to ``most`` steps. Returns True once all are taken."""
        taken = sum(1 for _ in islice(work.steps, most))
        self._remaining -= taken
        if self._next is None and taken:
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if taken == most:
            return False
        work.on_done()
        return True

    def _next_round(self) -> None:
        self._next = None
        self._remaining = self._per_round
        while self._waiting and self._remaining > 0:
            work = self._waiting.popleft()
            if not self._advance(work, min(NOTICES_PER_TURN, self._remaining)):
                self._waiting.append(work)

    def _steps(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        on_error: Callable[[Exception], None],
    ) -> Iterator[None]:
        for effect in effects:
            try:
                match effect:
                    case Notify(audience=audience, note=note) if room is not None:
                        yield from self._sessions.send_stepwise(
                            room.domain, audience, *note_payload(note)
                        )
                    case Request() | Warn():
                        self._carry_out(effect, None if room is None else room.uuid)
                    case Reply() | Announce() | Notify():
                        pass  # executed with the commit
            except Exception as bug:
                on_error(bug)

    def _carry_out(self, effect: Request | Warn, room: RoomUuid | None) -> None:
        match effect:
            case Request(request=request):
                try:
                    self._plane.send(request)
                except Unavailable:
                    # The deadline of the room handles it, as it does a lost request.
                    log.warning("plane.requestLost", extra={"request": type(request).__name__})
            case Warn(action=action, alarm=alarm):
                level = logging.ERROR if alarm else logging.WARNING
                log.log(level, action, extra={"room": room})
                if alarm:
                    self._monitor.recording_missed()


def notice_count(effects: Sequence[Effect]) -> int:
    """Return the number of notifications that these effects cause."""
    return sum(len(effect.audience) for effect in effects if isinstance(effect, Notify))
