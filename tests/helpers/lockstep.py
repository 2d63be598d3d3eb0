"""One room lived twice: by the pure machine, and by a live controller over real WebSockets.

Whatever happens to the pure room happens to the live one at the same moment of one clock, and as
it happens in life: people ask over their connections, lose them and come back, the media plane
reports, timers ring, the controller is stopped, killed and started again. After each step the two
must be in the same state, and have said the same to people, to the media plane and to the broker.
Meanwhile things go on in another room of the same owner, which must make no difference.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.app import controller as controller_module
from sfu_wrapper.app.controller import Parts, Running, controller
from sfu_wrapper.config.load import load
from sfu_wrapper.core.effects import Announce, Effect, Notify, Refusal, Reply, Request
from sfu_wrapper.core.events import (
    ControllerReady,
    ControllerStopping,
    Event,
    JoinRequested,
    PlaneReported,
    Requester,
    TimePassed,
    UserBack,
    UserGone,
)
from sfu_wrapper.core.media_plane import (
    PlaneRequest,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Origin, OwnerPermissions, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.service.rooms.idempotency import NOT_KEPT
from sfu_wrapper.service.rooms.messages import stored_room
from sfu_wrapper.wire.answers import note_payload
from sfu_wrapper.wire.recording_info import encode_announcement
from sfu_wrapper.wire.room_state import decode_room
from sfu_wrapper.wire.signaling import event as event_message
from tests.helpers.histories import Histories
from tests.helpers.live import SECRET, Json
from tests.helpers.lockstep_people import (
    OTHER_ROOM,
    ROLES,
    SOON_S,
    Asked,
    Asking,
    Person,
    code_of,
    request_of,
    settings_of,
)
from tests.helpers.rooms import ALICE, BOB, CAROL, HOME, SERVICE, STRANGER, Call
from tests.helpers.wait import until

SETTLE_S = 10.0  # a deadline, not a measurement
USERS = (ALICE, BOB, CAROL, STRANGER)


class Killed(Exception):
    """Ends a controller without the orderly way out."""


class Silent(MemoryPlane):
    """A media plane that does nothing by itself: what it says, the test says."""

    def send(self, request: PlaneRequest) -> None:
        self.asked.append(request)


class LiveRoom:
    """The live side of one room. Its loop turns only while a step is mirrored."""

    def __init__(self, call: "Mirrored") -> None:
        self._call = call
        self._runner = asyncio.Runner()
        self._people = {key: Person(key) for key in (*USERS, *ROLES)}
        self._asked: dict[str, Asked] = {}
        self._steps = 0  # taken elsewhere
        self._stored = OwnerPermissions()
        # What the pure room has said: it must be said here, no less and no more.
        self._codes: dict[str, str | None] = {}
        self._told: dict[UserKey, list[Json]] = {key: [] for key in self._people}
        self._wanted: list[PlaneRequest] = []
        self._announced: list[tuple[str, bytes]] = []
        self._do(self._begin())

    def is_connected(self, user: UserKey) -> bool:
        """Whether that user has a connection."""
        return self._people[user].connection is not None

    def mirror(self, event: Event, effects: Sequence[Effect], code: str | None) -> None:
        """Let the same happen, which came to these effects, or to a refusal with this code."""
        self._do(self._mirror(event, effects, code))

    def forgotten(self) -> bool:
        """Whether the controller has let go of the room: what is late has its captures stopped."""
        return self._running.rooms._registry.by_uuid(self._call.room.uuid) is None

    def finish(self) -> None:
        """Everybody comes back for what they have not heard yet; then it is over."""
        try:
            self._do(self._hear_the_rest())
            self._do(self._end(kill=True))
        finally:
            self._runner.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * SETTLE_S):
                await work

        self._runner.run(bounded())

    # The controller

    async def _begin(self) -> None:
        self._store, self._broker = MemoryStore(), MemoryBroker()
        await self._start()
        await self._permit()
        room = self._call.room
        wish: Json = {"id": room.id, "uuid": room.uuid, "confbridgeId": room.confbridge_id}
        wish |= {"owner": room.owner, "domain": room.domain, "kind": room.kind}
        wish |= {"origin": room.origin} if room.origin is Origin.PSTN else {}
        wish |= {} if self._call.flag is None else {"record": self._call.flag}
        await self._ask("create", SERVICE.key, "createRoom", wish)
        self._note(self._call.effects)
        other = {"id": OTHER_ROOM, "uuid": OTHER_ROOM, "confbridgeId": OTHER_ROOM}
        await self._elsewhere("createRoom", other | {"owner": room.owner, "domain": room.domain})
        await self._settle()

    async def _elsewhere(self, endpoint: str, payload: Json) -> None:
        """Something of another room, which is nobody's business here."""
        self._steps += 1
        service = self._people[SERVICE.key]
        if service.connection is None:
            await service.come(self._running.url)
        await service.ask(f"elsewhere-{self._steps}", endpoint, payload)

    async def _go_on_elsewhere(self) -> None:
        match self._steps % 4:
            case 0:
                await self._elsewhere("stopRoomRecording", {"room": OTHER_ROOM})
            case 1 | 2:
                user = ("alice", "zoe")[self._steps % 2]
                media = {"audio": True, "video": self._steps % 8 < 4}
                wish = {"room": OTHER_ROOM, "user": user, "media": media}
                await self._elsewhere("joinRoom", wish)
            case _:
                await self._elsewhere("startRoomRecording", {"room": OTHER_ROOM})

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._plane = Silent()
        self._wanted.clear()
        self._stop: asyncio.Future[None] = loop.create_future()
        ready: asyncio.Future[Running] = loop.create_future()
        self._main = asyncio.create_task(self._live(ready, self._stop))
        await asyncio.wait((ready, self._main), return_when=asyncio.FIRST_COMPLETED)
        self._running = ready.result()

    async def _live(self, ready: "asyncio.Future[Running]", stop: "asyncio.Future[None]") -> None:
        chosen = (
            "websocket.port=0",
            "http.port=0",
            f"auth.secret={SECRET}",
            "websocket.requestsBurst=1000000",  # the clock stands still: nothing flows back
            "websocket.idempotencySeconds=1e9",
            "quotas.segmentsPerMinute=0",
            *settings_of(self._call.rules),
        )
        parts = Parts(self._store, self._broker, self._plane, self._call)
        with suppress(Killed):
            async with controller(load(Path("config"), {}, chosen), parts) as running:
                ready.set_result(running)
                await stop

    async def _end(self, *, kill: bool) -> None:
        if self._main.done():
            return
        if kill:
            self._store.failing = True  # a dead process stores nothing
            self._stop.set_exception(Killed())
        else:
            self._stop.set_result(None)
        with patch.object(controller_module, "DRAIN_S", 0.01):  # the plane will close no file
            await self._main
        self._store.failing = False
        for person in self._people.values():
            await person.go()

    # One step

    async def _mirror(self, event: Event, effects: Sequence[Effect], code: str | None) -> None:
        match event:
            case ControllerStopping():
                self._note(effects)
                await self._end(kill=False)
                return  # those who were connected count as gone until it is back
            case ControllerReady():
                await self._end(kill=True)
                await self._start()
            case UserBack(user=user):
                await self._people[user].come(self._running.url)
                self._people[user].bound = True
            case UserGone(user=user):
                await self._leave(user)
            case PlaneReported(fact=fact):
                self._plane.emit(fact)
                await until(lambda: not self._plane._facts.waiting, pause_s=SOON_S)
            case TimePassed():
                self._ring()
            case _:
                assert isinstance(event, Asking)
                await self._permit()
                await self._ask(event.ref, event.by.key, *request_of(event, self._call.room.id))
                if code is not None:
                    self._codes[event.ref] = code
                elif isinstance(event, JoinRequested) and event.user == event.by.key:
                    self._people[event.user].bound = True
        self._note(effects)
        await self._settle()
        await self._go_on_elsewhere()
        if isinstance(event, Asking):
            await self._repeat(event.ref)

    async def _repeat(self, ref: str) -> None:
        """Request the same once more, which changes nothing; ``Person`` compares the answers."""
        asked, person = self._asked[ref], self._people[self._asked[ref].by]
        if self._codes.get(ref, Code.OVERLOADED) in NOT_KEPT or person.connection is None:
            return  # not answered yet, or to be tried anew
        before = person.times_answered[ref]
        await person.ask(ref, asked.endpoint, asked.payload)
        await until(lambda: person.times_answered[ref] > before, pause_s=SOON_S)
        await self._settle()

    def connect(self, user: UserKey) -> None:
        """A connection that has joined nothing is no news for the room."""
        if not self.is_connected(user):
            self._do(self._people[user].come(self._running.url))

    def disconnect(self, user: UserKey) -> None:
        """Nor is the loss of one."""
        self._do(self._leave(user))

    def is_bound(self, user: UserKey) -> bool:
        """Whether the user has joined over the present connection."""
        return self._people[user].bound

    async def _ask(self, ref: str, by: UserKey, endpoint: str, payload: Json) -> None:
        person = self._people[by]
        if person.connection is None:
            await person.come(self._running.url)
        self._asked[ref] = Asked(by, endpoint, payload, person.connection)
        await person.ask(ref, endpoint, payload)

    async def _leave(self, user: UserKey) -> None:
        await self._people[user].go()
        sessions = self._running.rooms._sessions
        await until(lambda: not sessions.is_connected(user), pause_s=SOON_S)

    def _ring(self) -> None:
        """The timers of the loop know nothing of our clock."""
        for actor in list(self._running.rooms._registry):
            actor._on_timer()

    async def _permit(self) -> None:
        """Store what counts for the owner now."""
        wanted, owner = self._call.permissions, self._call.room.owner_key
        if wanted != self._stored:
            await self._store.set_permission(owner.domain, owner.user, wanted.user)
            await self._store.set_permission(owner.domain, None, wanted.domain)
            self._stored = wanted

    # Whether both are the same

    def _note(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply(ref=ref, answer=answer):
                    self._codes[ref] = answer.code if isinstance(answer, Refusal) else None
                case Notify(audience=audience, note=note):
                    name, payload = note_payload(note)
                    for user in audience:
                        if self.is_connected(user):
                            far = {} if user.domain == HOME else {"domain": HOME}
                            heard = json.loads(event_message(name, {**payload, **far}))
                            self._told[user].append(heard["payload"])
                case Request(request=request):
                    self._wanted.append(request)
                case Announce(announcement=announcement):
                    said = encode_announcement(announcement)
                    self._announced.append((said.message_id, said.body))
                case _:
                    pass

    async def _settle(self) -> None:
        await self._ask_again()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await until(self._agree, pause_s=SOON_S)
        for what, here, there in self._both():
            assert here == there, f"{what}: {_difference(here, there)}"

    def _agree(self) -> bool:
        return all(here == there for _, here, there in self._both())

    def _both(self) -> Iterator[tuple[str, object, object]]:
        """What the live room came to, and the pure one."""
        row = self._store.room(self._call.room.uuid)
        stored = row and decode_room(stored_room(self._store, row))
        yield "state", stored and _plain(stored), _plain(self._call.room)
        for key, person in self._people.items():
            yield f"told to {key.user}", person.events, self._told[key]
        asked_here = [each for each in self._plane.asked if _about(each) != OTHER_ROOM]
        yield "asked of the plane", asked_here, self._wanted
        # At least once: what was published and not known to be so comes again after a restart.
        published = {
            each.message_id: each.body
            for each in self._broker.published
            if each.correlation_id != OTHER_ROOM
        }
        yield "published", list(published.items()), self._announced
        for person in self._people.values():
            yield (
                "more answers than questions",
                person.times_answered - person.times_asked,
                Counter(),
            )
        for ref, asked in self._asked.items():
            answer = self._people[asked.by].answers.get(ref)
            if ref not in self._codes:
                yield f"no answer to {ref}", answer, None
            elif answer is not None or self._reaches(asked, self._codes[ref]):
                yield f"answer to {ref}", code_of(answer), self._codes[ref] or "ok"

    def _reaches(self, asked: Asked, code: str | None) -> bool:
        """Whether the answer must have come; one that is not kept is gone with its connection."""
        connection = self._people[asked.by].connection
        return connection is not None and (code not in NOT_KEPT or connection is asked.over)

    async def _ask_again(self) -> None:
        """Repeat the request of a client that lost its connection before the answer."""
        for ref, asked in self._asked.items():
            person = self._people[asked.by]
            missing = ref not in person.answers and self._codes.get(ref, "") not in ("", *NOT_KEPT)
            if missing and person.connection not in (None, asked.over):
                asked.over = person.connection
                await person.ask(ref, asked.endpoint, asked.payload)

    async def _hear_the_rest(self) -> None:
        for person in self._people.values():
            if person.connection is None:
                await person.come(self._running.url)
        await self._settle()


@dataclass
class Mirrored(Call):
    """A pure room beside which a live one goes through the same; also the clock of both."""

    live: LiveRoom | None = None

    def now(self) -> Instant:
        """See ``Clock``."""
        return self.at

    def join(
        self, user: UserKey, media: Media | None = None, by: UserKey | Requester | None = None
    ) -> str:
        """The service names users of the room's domain alone."""
        return super().join(user, media, by if user.domain == HOME else None)

    def happens(self, event: Event) -> tuple[Effect, ...]:
        """Twice the same."""
        if self.live is None:
            return super().happens(event)
        if isinstance(event, PlaneReported) and self.live.forgotten():
            self.live.finish()  # it does no more than stop what a late fact is about
            self.live = None
            return super().happens(event)
        match event:
            case ControllerStopping() if self.live.forgotten():
                self.live.mirror(event, (), None)  # it has not taken it up, or let go of it
                return ()
            case ControllerReady() if self.room.fully_closed:
                self.live.mirror(event, (), None)  # a restart does not take it up
                return ()
            case UserGone(user=user) if not self.live.is_bound(user):
                if self.live.is_connected(user):
                    self.live.disconnect(user)
                return ()
            case UserBack(user=user) if self.live.is_connected(user):
                return ()
            case UserBack(user=user) if not self._waits_for(user):
                self.live.connect(user)
                return ()
        try:
            effects = super().happens(event)
        except Refused as refused:
            self.live.mirror(event, (), refused.code)
            raise
        while (due_ms := next_due_ms(self.room)) is not None and due_ms <= self.mono_ms:
            effects += super().happens(TimePassed(self.at))  # as the live room's timer does at once
        self.live.mirror(event, effects, None)
        return effects

    def _waits_for(self, user: UserKey) -> bool:
        """Whether a new connection takes the place of a lost one."""
        participant = self.room.participants.get(user)
        return participant is not None and not participant.by_service


class LiveHistories(Histories):
    """The same rules, each carried out on both."""

    def made(self, call: Call) -> Call:
        """Beside it the live one."""
        room = Mirrored(
            call.kind, call.origin, call.flag, call.policy, call.permissions, rules=call.rules
        )
        room.live = LiveRoom(room)
        return room

    def ask(self, what: str, *args: object, **how: object) -> str | None:
        """Send a request as a connected client."""
        by = how.get("by") or args[0]
        if isinstance(by, UserKey):
            self.call.back(by)
        return super().ask(what, *args, **how)

    def teardown(self) -> None:
        """In the end nobody has an answer outstanding either."""
        try:
            super().teardown()
        finally:
            call = getattr(self, "call", None)
            if isinstance(call, Mirrored) and call.live is not None:
                call.live.finish()


def _plain(room: Room) -> Room:
    """Without what a reference says beside the id of its request."""
    ids = (replace(each, ref=each.ref.split("\n")[-2:][0]) for each in room.waiting)
    return replace(room, waiting=tuple(ids))


def _about(request: PlaneRequest) -> str:
    if isinstance(request, StartCapture | StopCapture | ResumeCapture):
        return request.capture.room
    return request.room


def _difference(here: object, there: object) -> str:
    if isinstance(here, Room) and isinstance(there, Room):
        names = [each.name for each in fields(Room)]
        odd = [name for name in names if getattr(here, name) != getattr(there, name)]
        here, there = ({name: getattr(room, name) for name in odd} for room in (here, there))
    return f"live {here}, pure {there}"
