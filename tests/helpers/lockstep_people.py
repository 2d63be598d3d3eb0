"""People and requests of a room that is lived twice (``lockstep``)."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu_wrapper.core.events import (
    EndRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    StartRequested,
    StopRequested,
)
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.media import Media
from tests.helpers.live import Json, token
from tests.helpers.rooms import ADMIN, HOME, SERVICE
from tests.helpers.wait import until

SOON_S = 0.0005  # between two looks at what a step has done
OTHER_ROOM = "elsewhere"

ROLES = {SERVICE.key: "service", ADMIN.key: "domain-admin"}

Asking = (
    JoinRequested | MediaRequested | LeaveRequested | EndRequested | StartRequested | StopRequested
)


@dataclass
class Person:
    """A user with at most one connection. events, answers: all that were ever heard over it.

    ``bound``: whether it has joined over this connection.
    """

    key: UserKey
    connection: ClientConnection | None = None
    bound: bool = False
    pump: "asyncio.Task[None] | None" = None
    events: list[Json] = field(default_factory=list)  # about other rooms left out
    answers: dict[str, Json] = field(default_factory=dict)
    times_asked: Counter[str] = field(default_factory=Counter)
    times_answered: Counter[str] = field(default_factory=Counter)

    async def come(self, url: str) -> None:
        role = ROLES.get(self.key, "user")
        bearer = token(self.key.user, role, domain=self.key.domain)
        header = {"Authorization": f"Bearer {bearer}"}
        self.connection = await connect(f"{url}/client", additional_headers=header, proxy=None)
        self.pump = asyncio.create_task(self._listen(self.connection))
        await self.ask("hello", "ping", {})
        await until(
            lambda: self.times_answered["hello"] == self.times_asked["hello"], pause_s=SOON_S
        )

    async def ask(self, request_id: str, endpoint: str, payload: Json) -> None:
        assert self.connection is not None
        self.times_asked[request_id] += 1
        body = {"endpoint": endpoint, "payload": payload, "id": request_id}
        await self.connection.send(json.dumps({"type": "request", "payload": body}))

    async def go(self) -> None:
        connection, self.connection = self.connection, None
        self.bound = False
        if connection is not None and self.pump is not None:
            await connection.close()
            await self.pump

    async def _listen(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                frame = json.loads(message)
                body = frame["payload"]
                if frame["type"] == "response":
                    assert self.answers.setdefault(body["id"], body) == body, "a repeat differs"
                    self.times_answered[body["id"]] += 1
                elif body["payload"]["room"] != OTHER_ROOM:
                    self.events.append(body)


@dataclass
class Asked:
    """A request that was sent, over which connection, and whether its answer was looked at."""

    by: UserKey
    endpoint: str
    payload: Json
    over: ClientConnection | None
    seen: bool = False


def settings_of(rules: Rules) -> tuple[str, ...]:
    policy, limits = rules.policy, rules.limits
    return (
        f"rooms.record={policy.system}",
        f"recordRecordingAtStart={str(policy.record_at_start).lower()}",
        f"trunk.recordIncomingPSTN={str(policy.record_incoming_pstn).lower()}",
        f"trunk.conflict={policy.pstn_conflict}",
        f"policy.optionalAllowsManual={str(policy.optional_allows_manual).lower()}",
        f"policy.stopBy={policy.stop_by}",
        f"policy.unattendedStopSeconds={limits.unattended_ms / 1000}",
        f"recordings.maxSegmentSeconds={limits.max_segment_ms / 1000}",
        f"recordings.maxRoomSeconds={limits.max_room_ms / 1000}",
    )


def request_of(event: Asking, room: str) -> tuple[str, Json]:
    """Endpoint and payload with which somebody would ask for that."""
    payload: Json = {"room": room}
    if event.by.key.domain != HOME:
        payload["domain"] = HOME
    user: UserKey | None = getattr(event, "user", None)
    if user is not None and user != event.by.key:
        payload["user"] = user.user
    media: Media | None = getattr(event, "media", None)
    if media is not None:
        payload["media"] = {"audio": media.audio, "video": media.video, "screen": media.screen}
    match event:
        case JoinRequested():
            return "joinRoom", payload
        case MediaRequested():
            return "updateMedia", payload
        case LeaveRequested():
            return "leaveRoom", payload
        case EndRequested():
            return "endRoom", payload
        case StartRequested():
            return "startRoomRecording", payload
        case StopRequested(resume_after_ms=pause_ms):
            if pause_ms is not None:
                payload["resumeAfterSeconds"] = pause_ms // 1000
            return "stopRoomRecording", payload


def code_of(answer: Json | None) -> str | None:
    if answer is None:
        return None
    return str(answer["error"]["code"]) if answer["status"] == "error" else "ok"
