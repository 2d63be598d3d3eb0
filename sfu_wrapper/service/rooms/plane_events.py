"""What the media plane reports, carried to the rooms that it is about.

What is about no room that we hold was left by a controller that died: it is taken down, as far as
it is surely ours.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

from sfu_wrapper.core.events import PlaneReported
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureStarted,
    CloseMediaRoom,
    PlaneBack,
    PlaneFact,
    RoomFact,
    RoomFound,
    StopCapture,
    TracksCarried,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.store import Store
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.messages import Build
from sfu_wrapper.service.rooms.registry import RoomRegistry

log = logging.getLogger(__name__)


class PlaneEvents:
    """happened: puts an event into a room's mailbox."""

    def __init__(
        self,
        plane: MediaPlane,
        store: Store,
        directory: RoomRegistry,
        happened: Callable[[RoomActor, Build], None],
    ) -> None:
        self._plane = plane
        self._store = store
        self._directory = directory
        self._happened = happened

    async def run(self) -> None:
        """Until cancelled."""
        async for fact in self._plane.facts():
            self._report(fact)

    def _report(self, fact: PlaneFact) -> None:
        match fact:
            case RoomFound(room=room):
                with suppress(Unavailable):  # it is found again after the next connection
                    self._found(room)
            case PlaneBack():
                for actor in self._directory:
                    self._tell(actor, fact)
            case TracksCarried(room=room):
                self._carry(room, fact)
            case _:
                self._carry(fact.capture.room, fact)

    def _carry(self, room: RoomUuid, fact: RoomFact) -> None:
        actor = self._directory.by_uuid(room)
        if actor is not None:
            self._tell(actor, fact)
        elif isinstance(fact, CaptureStarted | CaptureChanged):
            # Nobody holds that room any more, so nobody else would ever stop it.
            log.warning("capture.orphan", extra={"room": room})
            with suppress(Unavailable):  # its next change is heard of, too
                self._plane.send(StopCapture(fact.capture))

    def _tell(self, actor: RoomActor, fact: RoomFact) -> None:
        self._happened(actor, lambda _, at: PlaneReported(at, fact))

    def _found(self, room: RoomUuid) -> None:
        """Close it where our own store says that it is over: what it does not know is not ours."""
        if self._is_over(room):
            log.warning("mediaRoom.orphan", extra={"room": room})
            self._plane.send(CloseMediaRoom(room))

    def _is_over(self, uuid: RoomUuid) -> bool:
        """Whether it ended, and nothing of it is recorded any more. Raises Unavailable."""
        actor = self._directory.by_uuid(uuid)
        if actor is None:
            row = self._store.room(uuid)
            return self._store.has_used(uuid) if row is None else row.settled
        room = actor.room
        return room is not None and room.life is Life.ENDED and room.capture is Phase.IDLE
