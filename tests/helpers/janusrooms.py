"""Minimal VideoRoom and AudioBridge on the scripted Janus.

Who publishes is told at once, where a real one waits for the browser's packets.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection

from tests.helpers.fakejanus import FakeJanus, Json

DESCRIPTION = "v=0\r\ns=janus\r\n"


@dataclass(slots=True)
class _Membership:
    """Handle that has joined a VideoRoom."""

    room: str
    publisher: str
    publishes: bool = False


class JanusRooms(FakeJanus):
    """Scripted Janus with the rooms named in ``rooms``."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms = {"room-1", "room-2"}
        self.memberships: dict[int, _Membership] = {}
        self._notified: list[tuple[int, Json]] = []

    async def stop(self) -> None:
        """Stop, and forget all state."""
        self.memberships.clear()
        await super().stop()

    async def _answer(self, connection: ServerConnection, message: Json) -> None:
        if message["janus"] == "detach":
            self._leave(message["handle_id"])
        await super()._answer(connection, message)
        told, self._notified = self._notified, []
        for handle, data in told:
            if handle in self.handles:
                await self.emit(handle, data)

    def _message(self, message: Json) -> list[Json]:
        handle, body = message["handle_id"], message["body"]
        plugin = self.handles[handle][1].removeprefix("janus.plugin.")
        data, kind = self._bridge(body) if plugin == "audiobridge" else self._room(handle, body)
        answer = {
            "janus": "event",
            "sender": handle,
            "plugindata": {"data": {plugin: "event"} | data},
        }
        if kind is not None:
            answer["jsep"] = {"type": kind, "sdp": DESCRIPTION}
        return [{"janus": "ack"}, answer]

    def _bridge(self, body: Json) -> tuple[Json, str | None]:
        if body["request"] == "configure":
            return {"result": "ok"}, "answer"
        known = body["room"] in self.rooms
        return ({"audiobridge": "joined"} if known else refusal(485)), None

    def _room(self, handle: int, body: Json) -> tuple[Json, str | None]:
        membership = self.memberships.get(handle)
        match body, membership:
            case {"request": "join", "ptype": "subscriber", "streams": [{"feed": feed}]}, None:
                there = feed in self._publishers(body["room"], handle)
                return ({"videoroom": "attached"}, "offer") if there else (refusal(428), None)
            case {"request": "join", "ptype": "publisher"}, None:
                return self._join(handle, body), None
            case {"request": "publish"}, _Membership(publishes=False):
                membership.publishes = True
                self._notify(membership, {"publishers": [{"id": membership.publisher}]})
                return {"configured": "ok"}, "answer"
            case {"request": "unpublish"}, _Membership():
                return self._unpublish(membership), None
            case {"request": "start"}, None:
                return {"started": "ok"}, None
        return refusal(423), None

    def _join(self, handle: int, body: Json) -> Json:
        if body["room"] not in self.rooms:
            return refusal(426)
        self.memberships[handle] = _Membership(body["room"], body["id"])
        publishers = [{"id": each} for each in self._publishers(body["room"], handle)]
        return {"videoroom": "joined", "publishers": publishers}

    def _unpublish(self, membership: _Membership) -> Json:
        if not membership.publishes:
            return refusal(435)
        membership.publishes = False
        self._notify(membership, {"unpublished": membership.publisher})
        return {"unpublished": "ok"}

    def _leave(self, handle: int) -> None:
        membership = self.memberships.pop(handle, None)
        if membership is not None:
            self._notify(membership, {"unpublished": membership.publisher})
            self._notify(membership, {"leaving": membership.publisher})

    def _publishers(self, room: str, but: int) -> list[str]:
        memberships = (
            (handle, membership) for handle, membership in self.memberships.items() if handle != but
        )
        return [
            membership.publisher
            for _, membership in memberships
            if membership.room == room and membership.publishes
        ]

    def _notify(self, membership: _Membership, data: Json) -> None:
        for handle, other in self.memberships.items():
            if other is not membership and other.room == membership.room:
                self._notified.append(
                    (handle, {"videoroom": "event", "room": membership.room} | data)
                )


def refusal(number: int) -> Json:
    """Return a refusal by a plugin."""
    return {"error_code": number, "error": "no"}


@asynccontextmanager
async def janus_with_rooms() -> AsyncIterator[JanusRooms]:
    """Run a scripted Janus with rooms for the length of the context."""
    janus = JanusRooms()
    await janus.start()
    try:
        yield janus
    finally:
        await janus.stop()
