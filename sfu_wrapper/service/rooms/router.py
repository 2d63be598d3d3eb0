"""The door to the rooms: hands each request to the mailbox of the room that it means.

Decides nothing about rooms: that is ``core``. Nothing here waits; ``run`` carries the facts of the
media plane to the rooms that they are about.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from sfu_wrapper.core.access import NOT_FOUND, require_visible
from sfu_wrapper.core.effects import Effect
from sfu_wrapper.core.events import (
    ControllerReady,
    ControllerStopping,
    Requester,
    UserBack,
    UserGone,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.people import Participant
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import create, step
from sfu_wrapper.model.errors import Broken, Code, RecordingError, Refused, Unavailable
from sfu_wrapper.model.identity import DomainId, Identity, OwnerPermissions, RoomId, UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.store import OutboxRow, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.actor import ActorContext, RoomActor
from sfu_wrapper.service.rooms.effects import EffectRunner
from sfu_wrapper.service.rooms.idempotency import (
    NOT_KEPT,
    IdempotencyStore,
    RequestRef,
    parse_ref,
    ref_of,
)
from sfu_wrapper.service.rooms.job_notices import Notifications
from sfu_wrapper.service.rooms.job_results import JobResults
from sfu_wrapper.service.rooms.listing import Lister
from sfu_wrapper.service.rooms.mailbox import Apply, Command, Query
from sfu_wrapper.service.rooms.maintenance import Monitor, NullMonitor
from sfu_wrapper.service.rooms.media_sessions import MediaSessions
from sfu_wrapper.service.rooms.messages import (
    Build,
    encode_error,
    event_of,
    internal_error,
    requester,
    stored_room,
)
from sfu_wrapper.service.rooms.plane_events import PlaneEvents
from sfu_wrapper.service.rooms.registry import Finder, RoomRegistry
from sfu_wrapper.service.rooms.room_creation import RoomCreation
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.service.rooms.scheduling import Scheduler
from sfu_wrapper.service.rooms.sessions import Client, Sessions
from sfu_wrapper.service.rooms.subscriptions import Subscriptions
from sfu_wrapper.wire.answers import room_json
from sfu_wrapper.wire.room_state import decode_room
from sfu_wrapper.wire.signaling import (
    CreateRoom,
    GetRoom,
    JoinRoom,
    ListRooms,
    Payload,
    Request,
    Unwatch,
    Watch,
    ok_response,
)

log = logging.getLogger(__name__)


class Rooms:
    """Every room of this controller (``service.rooms.sessions.RoomsApi``).

    reader: for whoever only looks. seats: for the media of those who take part.
    """

    def __init__(
        self,
        store: Store,
        plane: MediaPlane,
        clock: Clock,
        rules: Rules,
        *,
        keep_answers_ms: int = 300_000,
        kept_answer_bytes: int = 0,
        epoch: int = 1,
        offer: Callable[[tuple[OutboxRow, ...]], None] = lambda _: None,
        monitor: Monitor | None = None,
    ) -> None:
        self._store = store
        self._plane = plane
        self._clock = clock
        self._rules = rules
        self._sessions = Sessions()
        self._idempotency = IdempotencyStore(
            store, keep_answers_ms, epoch, keep_bytes=kept_answer_bytes
        )
        self._directory = RoomRegistry()
        self._reports = PlaneEvents(plane, store, self._directory, self._happened)
        self._stirred = asyncio.Event()
        self._draining = False
        monitor = monitor or NullMonitor()
        self._effects = EffectRunner(self._sessions, plane, monitor)
        self._around = self._surroundings(epoch, offer, monitor)
        self._finder = Finder(self._directory, self._sessions, store, self._revived)
        self._creation = RoomCreation(self._directory, store, clock, rules.quotas)
        self.seats = MediaSessions(self._seen_by)
        self._outcomes = JobResults()
        self.reader = RoomQueries(
            self._directory,
            self._finder,
            clock,
            rules.policy,
            store.permissions,
            self._outcomes.of_room,
        )
        self._lister = Lister(self.reader)
        self._watchers = Subscriptions(self.reader, self._outcomes, clock)

    def _surroundings(
        self,
        epoch: int,
        offer: Callable[[tuple[OutboxRow, ...]], None],
        monitor: Monitor,
    ) -> ActorContext:
        return ActorContext(
            store=self._store,
            effects=self._effects,
            clock=self._clock,
            idempotency=self._idempotency,
            rules=self._rules,
            epoch=epoch,
            offer=offer,
            committed=self._committed,
            became_idle=self._became_idle,
            monitor=monitor,
            scheduler=Scheduler(),
        )

    def load(self) -> None:
        """Take up the rooms that an earlier controller left; before any client is let in."""
        self._idempotency.load(self._clock.now().wall_ms)
        for row in self._store.unsettled_rooms():
            try:
                stored = stored_room(self._store, row)
                room = decode_room(stored)
            except Broken as broken:
                # One damaged room must not keep the others waiting; its row stays as it is.
                log.critical("room.unreadable", extra={"room": row.uuid, "error": broken.detail})
                continue
            for waiting in room.waiting:
                self._idempotency.resume(parse_ref(waiting.ref))
            actor = RoomActor(self._around, room.uuid, room, outdated=stored.outdated)
            self._directory.add(room, actor)
            self._directory.changed(None, room)
            self._happened(actor, lambda _, at: ControllerReady(at))

    async def run(self) -> None:
        """Carry facts from the media plane to the rooms, until cancelled."""
        await self._reports.run()

    async def drain(self, within_s: float) -> bool:
        """Stop what runs (SIGTERM). True when every room is quiet and stored in time."""
        self._draining = True  # a new room would not know that nothing may start
        for actor in self._directory:
            self._happened(actor, lambda _, at: ControllerStopping(at))
        try:
            async with asyncio.timeout(within_s):
                while not all(_quiet(actor) for actor in self._directory):
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Set no timers any more."""
        self._watchers.close()
        self._lister.close()
        self._effects.close()
        self._around.scheduler.close()
        for actor in self._directory:
            actor.close()

    def notices(self, broker: Broker) -> Notifications:
        """Who carries what the recording service tells to these rooms' people."""
        return Notifications(
            broker, self._finder.known, self._sessions, self._outcomes, self._watchers
        )

    def connected(self, client: Client) -> None:
        """See ``RoomsApi``."""
        if self._sessions.add(client):
            user = client.identity.key
            self._for_rooms_of(user, lambda _, at: UserBack(at, user))

    def disconnected(self, client: Client) -> None:
        """See ``RoomsApi``."""
        self._lister.forget(client)
        self._watchers.forget(client)
        gone = self._sessions.remove(client)
        if gone is not None:
            self._for_rooms_of(gone, _gone(gone))

    def handle(self, client: Client, request: Request) -> None:
        """See ``RoomsApi``."""
        ref: RequestRef | None = None
        try:
            if self._only_looks(client, request):
                return
            ref = ref_of(client.identity, request)
            if self._idempotency.begin(client, ref, self._clock.now().wall_ms):
                actor, command = self._command(client, request.payload, ref)
                actor.post(command)
        except (Refused, Unavailable) as error:
            self._refuse(client, request, ref, error)
        except Exception:
            log.exception("request.failed", extra={"endpoint": request.endpoint})
            self._answer(client, ref, internal_error(request))

    def _only_looks(self, client: Client, request: Request) -> bool:
        """Whether it was a request that changes no room; then it has been seen to."""
        match request.payload:
            case GetRoom() as asked:
                self._look(client, request, asked)
            case ListRooms() as asked:
                self._lister.begin(client, request, asked)
            case Watch(topics=topics):
                self._lister.look(client, request, partial(self._watchers.watch, client, topics))
            case Unwatch(topics=left):
                self._lister.look(client, request, partial(self._watchers.unwatch, client, left))
            case _:
                return False
        return True

    def _answer(self, client: Client, ref: RequestRef | None, answer: bytes) -> None:
        """Answer before any room was involved; where it was begun, all who asked it."""
        if ref is None or not self._idempotency.finish(ref, answer):
            client.deliver(answer)

    def _refuse(
        self, client: Client, request: Request, ref: RequestRef | None, error: RecordingError
    ) -> None:
        """A refusal is kept for repeats as every answer is, though it changes no room."""
        answer = encode_error(request, error)
        if ref is not None and error.code not in NOT_KEPT and self._idempotency.is_under_way(ref):
            self._idempotency.keep(ref, answer, self._clock.now().wall_ms)
        else:
            self._answer(client, ref, answer)

    def _command(
        self, client: Client, payload: Payload, ref: RequestRef
    ) -> tuple[RoomActor, Command]:
        """Return the command for a request that changes a room, and the actor of that room."""
        if isinstance(payload, CreateRoom):
            return self._creating(client.identity, payload, ref)
        by = requester(client.identity)
        build = event_of(payload, str(ref), by, self._permissions)
        actor = self._meant(client, payload)
        joins = None
        if isinstance(payload, JoinRoom) and payload.user in (None, by.key.user):
            self._sessions.joined(client, actor.uuid)
            joins = by.key
        charge = None if by.service else client.charge
        return actor, Command(self._applying(build), ref, joins=joins, charge=charge)

    def _creating(
        self, identity: Identity, asked: CreateRoom, ref: RequestRef
    ) -> tuple[RoomActor, Command]:
        if self._draining:
            raise Refused(Code.OVERLOADED, "the controller restarts; ask again")
        spec = self._creation.admit(identity, asked)

        def make(_: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
            permissions = self._store.permissions(owner)
            return create(spec, at, str(ref), permissions, self._rules)

        owner = UserKey(spec.domain, spec.owner)
        actor = RoomActor(self._around, spec.uuid, owner=owner)
        self._directory.add(spec, actor)

        def undo() -> None:
            self._directory.remove(actor)
            self._creation.take_back(spec)

        return actor, Command(make, ref, undo)

    def _look(self, client: Client, request: Request, payload: GetRoom) -> None:
        by = requester(client.identity)

        def read(room: Room | None) -> None:
            client.deliver(self._looked(request, by, room))

        self._meant(client, payload).post(Query(read))

    def _looked(self, request: Request, by: Requester, room: Room | None) -> bytes:
        """The response to getRoom, whatever it comes to."""
        try:
            return ok_response(request.endpoint, request.id, self._shown(by, room))
        except (Refused, Unavailable) as error:
            return encode_error(request, error)
        except Exception:
            log.exception("request.failed", extra={"endpoint": request.endpoint})
            return internal_error(request)

    def _shown(self, by: Requester, room: Room | None) -> dict[str, object]:
        if room is None:
            raise Refused(Code.ROOM_NOT_FOUND, NOT_FOUND)
        require_visible(room, by)
        found = self.reader.snapshot_of(room)
        return room_json(room, found.permissions, self._rules.policy, found.news)

    def _meant(self, client: Client, payload: Payload) -> RoomActor:
        """Return the room that a request names, or the one that its sender is in."""
        room_id: str | None = getattr(payload, "room", None)
        if room_id is None:
            return self._finder.only_one(client)
        by = requester(client.identity)
        domain = DomainId(getattr(payload, "domain", None) or by.key.domain)
        now_ms = self._clock.now().wall_ms
        joins = isinstance(payload, JoinRoom)
        return self._finder.by_id(by, domain, RoomId(room_id), now_ms, joins=joins)

    def _revived(self, room: Room) -> RoomActor:
        """Return an actor for a room that is over; the directory does not hold it."""
        return RoomActor(self._around, room.uuid, room)

    def _seen_by(self, user: UserKey, domain: DomainId, room_id: RoomId) -> Room | None:
        """Return the room that a user sees. Raises Refused, Unavailable."""
        now_ms = self._clock.now().wall_ms
        return self._finder.by_id(Requester(user), domain, room_id, now_ms).room

    def _permissions(self, room: Room) -> OwnerPermissions:
        return self._store.permissions(room.owner_key)

    def _applying(self, build: Build) -> Apply:
        def apply(room: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
            if room is None:
                raise Refused(Code.ROOM_NOT_FOUND, NOT_FOUND)
            return step(room, build(room, at), self._rules)

        return apply

    def _happened(self, actor: RoomActor, build: Build) -> None:
        actor.post(Command(self._applying(build)))

    def _for_rooms_of(self, user: UserKey, build: Build) -> None:
        for room in self._directory.rooms_of(user):
            member = self._directory.by_uuid(room)
            if member is not None:
                self._happened(member, build)

    def _committed(self, actor: RoomActor, before: Room | None) -> None:
        room = actor.room
        if room is None:
            return
        self._directory.changed(before, room)
        self._watchers.room_changed(before, room)
        changes = room.participants.changes(before.participants if before is not None else None)
        if any(now is None for _, now in changes):
            self.seats.room_changed(room)
        for was, now in changes:
            if now is not None:
                self._notice_lost(actor, now)
            elif was is not None and not actor.is_joining(was.key):
                self._sessions.left(was.key, room.uuid)

    def _became_idle(self, actor: RoomActor) -> None:
        self._stirred.set()
        if actor.room is not None and actor.room.fully_closed and actor.is_idle:
            self._directory.remove(actor)

    def _notice_lost(self, actor: RoomActor, joined: Participant) -> None:
        """Start the grace of a participant whose connection was lost while its join was stored."""
        unbound = joined.by_service or joined.gone_by_ms is not None
        if not unbound and not self._sessions.is_connected(joined.key):
            self._happened(actor, _gone(joined.key))


def _gone(user: UserKey) -> Build:
    return lambda _, at: UserGone(at, user)


def _quiet(actor: RoomActor) -> bool:
    return actor.is_idle and (actor.room is None or actor.room.capture is Phase.IDLE)
