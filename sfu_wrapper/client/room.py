"""A room as one of its users handles it: join, record, leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sfu_wrapper.wire.client_models import (
    Ended,
    InRoom,
    Invited,
    Joined,
    Json,
    MediaUpdated,
    Received,
    RoomState,
    Started,
    Stopped,
)

if TYPE_CHECKING:
    from sfu_wrapper.client.client import Client

_Answer = TypeVar("_Answer", bound=Received)


@dataclass(frozen=True, slots=True)
class Room:
    """Room of a client. Every method raises as ``Client.request`` does.

    Attributes:
        client: the user that acts.
        id: room id.
        domain: domain of the room; None: that of the user.
    """

    client: Client
    id: str
    domain: str | None = None

    async def join(self, *, audio: bool = True, video: bool = True, screen: bool = False) -> Joined:
        """Join, publishing these media; again after each lost connection, until ``leave``."""
        media = {"audio": audio, "video": video, "screen": screen}
        joined = await self._answer(Joined, "joinRoom", {"media": media})
        self.client.place_taken(self.id, self._about({"media": media}))
        return joined

    async def join_user(self, user: str, **media: bool) -> Joined:
        """Join another user, as the room service does for a phone."""
        return await self._answer(Joined, "joinRoom", {"user": user, "media": media})

    async def update_media(
        self, *, audio: bool = False, video: bool = False, screen: bool = False
    ) -> MediaUpdated:
        """Publish exactly these media from now on."""
        media = {"audio": audio, "video": video, "screen": screen}
        updated = await self._answer(MediaUpdated, "updateMedia", {"media": media})
        self.client.place_taken(self.id, self._about({"media": media}))
        return updated

    async def start_recording(self) -> Started:
        """Start the next segment; returns once its files are open."""
        return await self._answer(Started, "startRoomRecording", {})

    async def stop_recording(self, *, resume_after_s: int | None = None) -> Stopped:
        """Stop recording; returns once the files are closed.

        Args:
            resume_after_s: 1 to 3600: a pause of so many seconds instead of an end.
        """
        pause = {} if resume_after_s is None else {"resumeAfterSeconds": resume_after_s}
        return await self._answer(Stopped, "stopRoomRecording", pause)

    async def state(self) -> RoomState:
        """Return participants, recording and segments."""
        return await self._answer(RoomState, "getRoom", {})

    async def invite(self, *users: str) -> Invited:
        """Add users who may join."""
        return await self._answer(Invited, "inviteToRoom", {"users": list(users)})

    async def leave(self) -> None:
        """Leave."""
        self.client.place_left(self.id)
        await self._answer(InRoom, "leaveRoom", {})

    async def end(self) -> Ended:
        """End the call for all participants."""
        self.client.place_left(self.id)
        return await self._answer(Ended, "endRoom", {})

    async def _answer(
        self, model: type[_Answer], endpoint: str, payload: Mapping[str, object]
    ) -> _Answer:
        return await self.client.answer(model, endpoint, self._about(payload))

    def _about(self, payload: Mapping[str, object]) -> Json:
        domain = {} if self.domain is None else {"domain": self.domain}
        return {"room": self.id, **domain, **payload}
