"""Facts of the media plane: passed to the mailboxes of their rooms.

Captures and media rooms without a room here were left by a controller that died. They are stopped
and closed, but only if they are certainly ours.
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
from sfu_wrapper.service.rooms.registry import RoomRegistry
from sfu_wrapper.service.rooms.scheduling import Build

log = logging.getLogger(__name__)


class PlaneEvents:
    """Dispatcher of the facts of the media plane.

    Args:
        plane: source of the facts.
        store: settled rooms.
        registry: rooms in memory.
        post: adds an event to the mailbox of a room.
    """

    def __init__(
        self,
        plane: MediaPlane,
        store: Store,
        registry: RoomRegistry,
        post: Callable[[RoomActor, Build], None],
    ) -> None:
        self._plane = plane
        self._store = store
        self._registry = registry
        self._post = post

    async def run(self) -> None:
        """Dispatch facts until cancelled."""
        async for fact in self._plane.facts():
            self._dispatch(fact)

    def _dispatch(self, fact: PlaneFact) -> None:
        match fact:
            case RoomFound(room=room):
                with suppress(Unavailable):  # reported again after the next connection
                    self._close_orphan(room)
            case PlaneBack():
                for actor in self._registry:
                    self._post_fact(actor, fact)
            case TracksCarried(room=room):
                self._forward(room, fact)
            case _:
                self._forward(fact.capture.room, fact)

    def _forward(self, room: RoomUuid, fact: RoomFact) -> None:
        actor = self._registry.by_uuid(room)
        if actor is not None:
            self._post_fact(actor, fact)
        elif isinstance(fact, CaptureStarted | CaptureChanged):
            # No actor holds that room, so no other code would stop the capture.
            log.warning("capture.orphan", extra={"room": room})
            with suppress(Unavailable):  # the next fact of this capture triggers a retry
                self._plane.send(StopCapture(fact.capture))

    def _post_fact(self, actor: RoomActor, fact: RoomFact) -> None:
        self._post(actor, lambda _, at: PlaneReported(at, fact))

    def _close_orphan(self, room: RoomUuid) -> None:
        """Close a media room if our store says that its room is over; others are not ours."""
        if self._is_over(room):
            log.warning("mediaRoom.orphan", extra={"room": room})
            self._plane.send(CloseMediaRoom(room))

    def _is_over(self, uuid: RoomUuid) -> bool:
        """Return True if the room has ended and no capture of it runs. Raises Unavailable."""
        actor = self._registry.by_uuid(uuid)
        if actor is None:
            row = self._store.room(uuid)
            return self._store.has_used(uuid) if row is None else row.settled
        room = actor.room
        return room is not None and room.life is Life.ENDED and room.capture is Phase.IDLE
