"""What a commit causes, carried out in order: people are told, the media plane is asked.

A room may have a thousand people who are told of each change. So only a bounded number of notices
is handed out in one round of the event loop, over all rooms, which take turns; a room goes on once
its own are handed out. Whoever is in a small room waits for a round, not for a crowd.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sfu_wrapper.core.effects import Announce, Ask, Effect, Notify, Reply, Warn
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.service.rooms.maintenance import Monitor
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.answers import note_payload

A_ROUND: Final = 32  # notices in one round of the event loop
A_TURN: Final = 8  # notices of one room before it is another's turn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Work:
    """Effects of one commit. steps: each hands out one notice, or looks for the next effect."""

    steps: Iterator[None]
    done: Callable[[], None]


class Telling:
    """Carries out the effects of all rooms."""

    def __init__(
        self, sessions: Sessions, plane: MediaPlane, signals: Monitor, *, a_round: int = A_ROUND
    ) -> None:
        self._sessions = sessions
        self._plane = plane
        self._signals = signals
        self._a_round = a_round
        self._left = a_round
        self._waiting: deque[_Work] = deque()
        self._next: asyncio.Handle | None = None

    def begin(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        failed: Callable[[Exception], None],
        done: Callable[[], None],
    ) -> None:
        """Carry out effects in their order, at once where this round has room for that.

        Args:
            room: as committed; None: nothing is told.
            effects: of one commit. A room has no second one carried out before ``done``.
            failed: called with what an effect raised; the others are carried out all the same.
            done: called once, at the end.
        """
        work = _Work(self._steps(room, effects, failed), done)
        if self._waiting or not self._goes_on(work, self._left):
            self._waiting.append(work)

    def close(self) -> None:
        """Carry out nothing any more."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _goes_on(self, work: _Work, most: int) -> bool:
        """Take up to so many steps. Returns whether there are no more."""
        taken = sum(1 for _ in islice(work.steps, most))
        self._left -= taken
        if self._next is None and taken:
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if taken == most:
            return False
        work.done()
        return True

    def _next_round(self) -> None:
        self._next = None
        self._left = self._a_round
        while self._waiting and self._left > 0:
            work = self._waiting.popleft()
            if not self._goes_on(work, min(A_TURN, self._left)):
                self._waiting.append(work)

    def _steps(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        failed: Callable[[Exception], None],
    ) -> Iterator[None]:
        for effect in effects:
            try:
                match effect:
                    case Notify(audience=audience, note=note) if room is not None:
                        yield from self._sessions.handing_out(
                            room.domain, audience, *note_payload(note)
                        )
                    case Ask() | Warn():
                        self._carry_out(effect, None if room is None else room.uuid)
                    case Reply() | Announce() | Notify():
                        pass  # done with the commit
            except Exception as bug:
                failed(bug)

    def _carry_out(self, effect: Ask | Warn, room: RoomUuid | None) -> None:
        match effect:
            case Ask(request=request):
                try:
                    self._plane.send(request)
                except Unavailable:
                    # As good as a lost request: the room's own deadline notices.
                    log.warning("plane.requestLost", extra={"request": type(request).__name__})
            case Warn(action=action, alarm=alarm):
                level = logging.ERROR if alarm else logging.WARNING
                log.log(level, action, extra={"room": room})
                if alarm:
                    self._signals.recording_missed()


def notices_of(effects: Sequence[Effect]) -> int:
    """Return how many people are to be told, each as often as that."""
    return sum(len(effect.audience) for effect in effects if isinstance(effect, Notify))
