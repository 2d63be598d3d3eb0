"""Real Asterisk that is killed and started again while calls come, go and are recorded."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import pytest

from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from tests.helpers.asterisk import AsteriskServer
from tests.helpers.live import DOMAIN, Json, Peer
from tests.helpers.segment_reports import ALLOWED, Restless, outcome, reported_once
from tests.helpers.sip import Phone, calling
from tests.helpers.wait import until
from tests.integration import test_asterisk
from tests.integration.test_asterisk import ALICE_HZ, DID, PHONE_HZ, Here, here

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

server = test_asterisk.server

RESTARTS = 2
PHONES, MEETINGS = 3, 2
BACK_S = 30.0
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Meeting:
    """Meeting whose conference at Asterisk has the same name."""

    room: str
    owner: Peer
    guest: Peer


@dataclass(slots=True)
class Exchange:
    """Controller and Asterisk with meetings that last, and calls from the trunk that do not.

    Attributes:
        rooms: Every room so far, with somebody who sees all its events.
    """

    world: Here
    dice: random.Random
    meetings: list[Meeting] = field(default_factory=list)
    rooms: dict[str, Peer] = field(default_factory=dict)
    numbers: int = 34_600_000_000

    async def meet(self) -> None:
        """Create a meeting; its owner stays in it."""
        controller, room = self.world.controller, f"meeting-{len(self.meetings)}"
        owner = await controller.client(f"owner-{room}")
        permission = RecordingPermissions(RecordingType.AUDIO, RecordingProfile.ALWAYS)
        await controller.permit(owner.user, permission)
        ids = {"id": room, "uuid": room, "confbridgeId": room, "kind": "meeting"}
        await self.world.service.ok("createRoom", ids | {"owner": owner.user, "domain": DOMAIN})
        await owner.ok("joinRoom", {"room": room, "media": {"audio": True}})
        self.meetings.append(Meeting(room, owner, await controller.client(f"guest-{room}")))
        self.rooms[room] = owner

    def number(self) -> str:
        """Return a telephone number that nobody has had."""
        self.numbers += 1
        return str(self.numbers)

    async def room_of(self, number: str) -> str:
        """Return the room of a call, once it has one."""

        def is_entry(frame: Json) -> bool:
            event = frame["payload"]
            joined = event.get("event") == "participantJoined"
            return bool(joined and event["payload"]["user"] == f"tel:{number}")

        frame = await self.world.service.receive(is_entry)
        room = str(frame["payload"]["payload"]["room"])
        self.rooms[room] = self.world.service
        return room

    async def answered(self, phones: AsyncExitStack) -> str:
        """Let a phone call, be answered and be recorded; return its room."""
        number = self.number()
        await phones.enter_async_context(
            calling(self.world.server.sip_port, number=number, called=DID, hz=PHONE_HZ)
        )
        room = await self.room_of(number)
        callee = await self.world.controller.client(f"callee-{number}")
        await callee.ok("joinRoom", {"room": room, "media": {"audio": True}})
        await callee.event("roomRecordingStarted")
        return room

    async def recorded(self, meeting: Meeting) -> None:
        """Let a caller in, and record the meeting unless that is being done."""
        await self.world.put_in(meeting.room, ALICE_HZ)
        answer = await outcome(meeting.owner, "startRoomRecording", {"room": meeting.room})
        assert answer in {"ok", "ALREADY_RECORDING"}, answer

    def restless(self) -> Restless:
        """Return what people do, whether or not there is an Asterisk."""
        return Restless(
            self.dice, (self._enter, self._leave, self._start, self._stop, self._come, self._go)
        )

    def _any(self) -> Meeting:
        return self.dice.choice(self.meetings)

    async def _enter(self) -> str:
        await asyncio.sleep(self.dice.uniform(0, 0.2))
        with suppress(RecordingError):  # there is no Asterisk
            await self.world.put_in(self._any().room, ALICE_HZ)
        return "ok"

    async def _leave(self) -> str:
        await asyncio.sleep(self.dice.uniform(0, 0.2))
        with suppress(RecordingError):
            await self.world.callers.act(
                "Hangup", ("Channel", f"/^Local/.*{self.dice.choice('13579bdf')};1$/")
            )
        return "ok"

    async def _start(self) -> str:
        meeting = self._any()
        return await outcome(meeting.owner, "startRoomRecording", {"room": meeting.room})

    async def _stop(self) -> str:
        meeting = self._any()
        return await outcome(meeting.owner, "stopRoomRecording", {"room": meeting.room})

    async def _come(self) -> str:
        meeting = self._any()
        wish = {"room": meeting.room, "media": {"audio": True}}
        return await outcome(meeting.guest, "joinRoom", wish)

    async def _go(self) -> str:
        meeting = self._any()
        await outcome(meeting.guest, "leaveRoom", {"room": meeting.room})
        return "ok"


@asynccontextmanager
async def busy(server: AsteriskServer, dice: random.Random) -> AsyncIterator[Exchange]:
    free = "quotas.segmentsPerMinute=0"
    chosen = ("trunk.recordIncomingPSTN=true", "media.timeoutSeconds=4", free)
    async with here(server, *chosen) as world:
        exchange = Exchange(world, dice)
        for _ in range(MEETINGS):
            await exchange.meet()
        yield exchange


async def restart(exchange: Exchange) -> None:
    """Kill Asterisk in the middle of everything, start it again, and look who is left."""
    server, dice = exchange.world.server, exchange.dice
    async with AsyncExitStack() as phones, asyncio.TaskGroup() as group:
        rooms = [await exchange.answered(phones) for _ in range(PHONES)]
        for meeting in exchange.meetings:
            await exchange.recorded(meeting)
        restless = exchange.restless()
        people = group.create_task(restless.run())
        await asyncio.sleep(dice.uniform(0.5, 1.5))
        server.kill()
        number = exchange.number()
        late = group.create_task(insisting(server, number, phones))
        await asyncio.sleep(dice.uniform(0, 1.0))
        await asyncio.to_thread(server.start)
        phone = await late
        people.cancel()
        for room in rooms:
            await until(partial(is_left, exchange, room), within_s=BACK_S, pause_s=LOOK_S)
        room = await exchange.room_of(number)
        await phone.hang_up()
        await until(lambda: is_left(exchange, room), within_s=BACK_S, pause_s=LOOK_S)
    assert restless.answers.keys() <= ALLOWED | {"ok"}, restless.answers
    for meeting in exchange.meetings:
        await until(partial(can_record, exchange, meeting), within_s=BACK_S, pause_s=LOOK_S)


async def insisting(server: AsteriskServer, number: str, phones: AsyncExitStack) -> Phone:
    """Call until Asterisk, which has yet to start, answers."""
    async with asyncio.timeout(BACK_S):
        while True:
            ringing = calling(server.sip_port, number=number, called=DID, hz=PHONE_HZ)
            with suppress(AssertionError, TimeoutError):
                return await phones.enter_async_context(ringing)
            await asyncio.sleep(0.05)


async def is_left(exchange: Exchange, room: str) -> bool:
    """Return True if no phone is in the room and it is not being recorded."""
    shown = await exchange.world.service.ask("getRoom", {"room": room})
    if shown["status"] == "error":
        return bool(shown["error"]["code"] == "ROOM_ENDED")
    people = [str(each["user"]) for each in shown["payload"]["participants"]]
    active = shown["payload"]["recording"]["active"]
    return not active and not any(each.startswith("tel:") for each in people)


async def can_record(exchange: Exchange, meeting: Meeting) -> bool:
    """Return True if the meeting is recorded, as somebody is there and its owner wants it."""
    with suppress(RecordingError):
        await exchange.recorded(meeting)
    shown = await meeting.owner.ok("getRoom", {"room": meeting.room})
    return bool(shown["recording"]["active"])


async def restarts(server: AsteriskServer, times: int, seed: int) -> tuple[int, int]:
    """Restart Asterisk that often; return how many rooms and events there were."""
    async with busy(server, random.Random(seed)) as exchange:  # noqa: S311  # no secret
        for _ in range(times):
            await restart(exchange)
        for meeting in exchange.meetings:
            await outcome(meeting.owner, "stopRoomRecording", {"room": meeting.room})
            await until(partial(is_over, meeting), within_s=BACK_S, pause_s=LOOK_S)
        infos = await reported_once(exchange.world.controller, exchange.rooms)
        mixes = [mix for info in infos for mix in exchange.world.mixes(info)]
        assert len(set(mixes)) == len(mixes)
        assert all(mix.stat().st_size for mix in mixes)
        return len(exchange.rooms), len(infos)


async def is_over(meeting: Meeting) -> bool:
    """Return True if no segment of the meeting is under way."""
    shown = await meeting.owner.ok("getRoom", {"room": meeting.room})
    return {each["state"] for each in shown["segments"]} <= {"stopped", "failed"}


async def test_no_call_and_no_recording_outlives_restarts_of_asterisk(
    server: AsteriskServer, note: Callable[[str], None]
) -> None:
    rooms, events = await restarts(server, RESTARTS, seed=1)
    note(f"{RESTARTS} restarts, {rooms} rooms, {events} events")
