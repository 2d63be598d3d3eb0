"""Trunk gateway: incoming telephone calls become rooms of origin ``pstn``.

What enters: call events of the trunk (``run``), answers and ``roomEnded`` events (``deliver``).
What leaves: createRoom, joinRoom and leaveRoom requests to the router, hang-ups to the trunk. The
gateway acts as a room service inside the controller, with the same rights over the same interface
as any other (protocol.md).

Rules: the uuid of the room is derived from the call id, so that neither a repeated announcement nor
a restart creates a second room. After a loss of connection the list of present calls is compared
with the known legs (``_reconcile``).
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final, cast

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import Identity, RoomUuid, UserKey
from sfu_wrapper.ports.media_plane import (
    CallArrived,
    CallEntered,
    CallLeft,
    CallNews,
    CallsPresent,
    Trunk,
    TrunkCall,
)
from sfu_wrapper.service.rooms.room_creation import PSTN_PREFIX
from sfu_wrapper.service.rooms.sessions import Client, RoomsApi
from sfu_wrapper.wire.signaling import parse_request
from sfu_wrapper.wire.strict_json import dump, parse_strict

log = logging.getLogger(__name__)

ANSWER_S: Final = 15.0
_BACKOFF: Final = Backoff(0.5, 2.0)  # before retries after OVERLOADED
_RETRIES: Final = 3
_NAME: Final = re.compile(r"[A-Za-z0-9._@+:-]{1,128}")
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9._@+:-]+")
_NUMBER_LENGTH: Final = 64
_UUID_LENGTH: Final = 64
_GONE: Final = frozenset((Code.ROOM_ENDED, Code.ROOM_NOT_FOUND, Code.NOT_IN_ROOM))


@dataclass(slots=True)
class _Leg:
    """Phone leg in its room; ``call_id`` is empty after a restart until the call is reported."""

    room: str
    user: str
    call_id: str = ""
    entered: bool = False


class TrunkGateway(Client):
    """Room service for the trunk of one controller.

    Args:
        trunk: source of the calls.
        rooms: receives the requests.
        created_by: returns the rooms of a room service that have not ended.
        identity: identity of the room service, with role ``service``.
    """

    def __init__(
        self,
        trunk: Trunk,
        rooms: RoomsApi,
        created_by: Callable[[UserKey], tuple[Room, ...]],
        identity: Identity,
    ) -> None:
        self._trunk = trunk
        self._rooms = rooms
        self._created_by = created_by
        self._identity = identity
        self._key = f"trunk:{uuid.uuid4().hex}"
        self._legs: dict[RoomUuid, _Leg] = {}
        self._pending: dict[str, asyncio.Future[Mapping[str, object]]] = {}

    @property
    def key(self) -> str:
        """See ``Client``."""
        return self._key

    @property
    def identity(self) -> Identity:
        """See ``Client``."""
        return self._identity

    def deliver(self, message: bytes) -> None:
        """See ``Client``; receives answers and the events of its rooms."""
        if b'"response"' not in message and b'"roomEnded"' not in message:
            return
        payload = cast("dict[str, object]", parse_strict(message))["payload"]
        response = cast("dict[str, object]", payload)
        pending = self._pending.get(str(response.get("id")))
        if pending is not None:
            if not pending.done():
                pending.set_result(response)
        elif response.get("event") == "roomEnded":
            payload = cast("dict[str, object]", response["payload"])
            if "domain" not in payload:  # else a room of another domain with the same id
                self._ended(str(payload["room"]))

    def charge(self, notices: int) -> None:
        """See ``Client``; a room service has no such limit."""

    async def run(self) -> None:
        """Pass the calls of the trunk to the rooms until cancelled; raises only on our own bugs."""
        for room in self._created_by(self._identity.key):
            if not room.uuid.startswith(PSTN_PREFIX):
                continue  # created by another room service with the same user id
            entered = room.participants.get(room.owner_key) is not None
            self._legs[room.uuid] = _Leg(room.id, room.owner, entered=entered)
        self._rooms.connected(self)
        try:
            async for news in self._trunk.calls():
                await self._take(news)
        finally:
            self._rooms.disconnected(self)

    async def _take(self, news: CallNews) -> None:
        match news:
            case CallArrived(call=call):
                await self._arrived(call)
            case CallEntered(id=call_id):
                await self._entered(call_id)
            case CallLeft(id=call_id):
                await self._left(room_uuid(call_id))
            case CallsPresent(calls=calls):
                await self._reconcile(calls)

    async def _arrived(self, call: TrunkCall) -> None:
        room = room_uuid(call.id)
        if room in self._legs:
            self._legs[room].call_id = call.id
            return
        user = user_of(call.caller)
        requested = _valid(call.room_id)
        answer = await self._create(call, room, user, requested)
        if requested is not None and _taken(answer) == requested:
            # The header of a call must not admit its caller to an existing room.
            log.warning("trunk.roomTaken", extra={"wished": requested, "call": call.id})
            answer = await self._create(call, room, user, None)
        if _taken(answer) == room:
            self._trunk.hang_up(call.id)  # the room ended while the trunk was unavailable
            return
        if answer.get("status") != "ok":
            log.error("trunk.callNotTaken", extra={"call": call.id, "error": _code(answer)})
            return
        made = cast("dict[str, object]", answer["payload"])
        self._legs[room] = _Leg(str(made["room"]), user, call.id)
        log.info("trunk.call", extra={"room": room, "call": call.id})

    async def _create(
        self, call: TrunkCall, room: RoomUuid, user: str, room_id: str | None
    ) -> Mapping[str, object]:
        """Create the room of a call; retry while an earlier call still has its conference."""
        for pause_s in islice(_BACKOFF, _RETRIES):
            answer = await self._create_once(call, room, user, room_id)
            if _taken(answer) != call.conference or call.conference in (room, room_id):
                return answer
            await asyncio.sleep(pause_s)
        return await self._create_once(call, room, user, room_id)

    async def _create_once(
        self, call: TrunkCall, room: RoomUuid, user: str, room_id: str | None
    ) -> Mapping[str, object]:
        invited = [name for name in call.invited or () if _valid(name)]
        given = {"id": room_id} if room_id is not None else {}
        return await self._request(
            "createRoom",
            {
                **given,
                "uuid": room,
                "kind": "direct",
                "origin": "pstn",
                "domain": self._identity.domain,
                "owner": user,
                "confbridgeId": call.conference,
                **({"invited": invited} if invited else {}),
            },
        )

    async def _entered(self, call_id: str) -> None:
        leg = self._legs.get(room_uuid(call_id))
        if leg is None or leg.entered:
            return
        leg.entered = True
        join = {"room": leg.room, "user": leg.user, "media": {"audio": True}}
        answer = await self._request("joinRoom", join)
        if _code(answer) in _GONE:
            self._trunk.hang_up(call_id)
        elif answer.get("status") != "ok":
            leg.entered = False  # retried with the next list of calls
            log.error("trunk.callNotTaken", extra={"call": call_id, "error": _code(answer)})

    async def _left(self, room: RoomUuid) -> None:
        leg = self._legs.pop(room, None)
        if leg is None:
            return
        answer = await self._request("leaveRoom", {"room": leg.room, "user": leg.user})
        if answer.get("status") != "ok" and _code(answer) not in _GONE:
            self._legs[room] = leg  # likewise
            log.error("trunk.legNotEnded", extra={"room": room, "error": _code(answer)})

    async def _reconcile(self, calls: tuple[TrunkCall, ...]) -> None:
        """Handle the missed entries and exits of calls."""
        here = {room_uuid(call.id) for call in calls}
        for room, leg in tuple(self._legs.items()):
            if leg.entered and room not in here:
                await self._left(room)
        for call in calls:
            await self._arrived(call)
            await self._entered(call.id)

    def _ended(self, room_id: str) -> None:
        """Hang up the remaining phone legs of an ended room."""
        for room, leg in tuple(self._legs.items()):
            if leg.room == room_id:
                del self._legs[room]
                if leg.call_id:
                    self._trunk.hang_up(leg.call_id)

    async def _request(self, endpoint: str, payload: Mapping[str, object]) -> Mapping[str, object]:
        """Send a request and return its answer; retry after OVERLOADED."""
        request_id = (
            uuid.uuid4().hex
        )  # kept for retries, so that a late first one counts as the same
        for pause_s in islice(_BACKOFF, _RETRIES):
            answer = await self._request_once(endpoint, request_id, payload)
            if _code(answer) != Code.OVERLOADED:
                return answer
            await asyncio.sleep(pause_s)
        return await self._request_once(endpoint, request_id, payload)

    async def _request_once(
        self, endpoint: str, request_id: str, payload: Mapping[str, object]
    ) -> Mapping[str, object]:
        asked = {"endpoint": endpoint, "id": request_id, "payload": payload}
        request = parse_request(dump({"type": "request", "payload": asked}).decode())
        self._pending[request_id] = asyncio.get_running_loop().create_future()
        try:
            self._rooms.handle(self, request)
            async with asyncio.timeout(ANSWER_S):
                return await self._pending[request_id]
        except TimeoutError:
            return {"status": "error", "error": {"code": "OVERLOADED"}}
        finally:
            del self._pending[request_id]


def room_uuid(call_id: str) -> RoomUuid:
    """Return the uuid of a call's room, always the same for the same call."""
    name = f"{PSTN_PREFIX}{call_id}"
    if len(name) > _UUID_LENGTH:
        name = f"{PSTN_PREFIX}{sha256(call_id.encode()).hexdigest()[:32]}"
    return RoomUuid(name)


def user_of(number: str) -> str:
    """Return a telephone number as a user id, with a prefix that no account has."""
    plain = _FOREIGN.sub("-", number.strip()).strip("-")[:_NUMBER_LENGTH]
    return f"tel:{plain or 'anonymous'}"


def _valid(name: str | None) -> str | None:
    return name if name is not None and _NAME.fullmatch(name) else None


def _taken(answer: Mapping[str, object]) -> str | None:
    """Return the id, uuid or confbridgeId in use; None: the request was not refused for that."""
    if _code(answer) != Code.ROOM_EXISTS:
        return None
    error = cast("dict[str, dict[str, object]]", answer["error"])
    return str(error["details"].get("room"))


def _code(answer: Mapping[str, object]) -> str | None:
    error = answer.get("error")
    return str(error["code"]) if isinstance(error, dict) else None
