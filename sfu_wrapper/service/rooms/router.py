"""Router: hands each request of a client to the actor of its room.

What enters: connections and requests from the gateway (``RoomsApi``), facts of the media plane
(``run``), start and stop of the controller (``load``, ``drain``). What leaves: commands and queries
to the mailboxes of the actors, and answers to requests that reach no room. Actors call back after
each commit (``_committed``) and once its effects are executed (``_became_idle``).

Rules: only ``run`` and ``drain`` wait. Every request gets exactly one answer: from here if it is
refused before it reaches a room or repeats an answered one, else from the actor. ``core`` decides.
"""

import asyncio
import logging
from contextlib import suppress
from functools import partial

from sfu_wrapper.core.access import (
    NOT_FOUND,
    requester,
    require_may_join,
    require_visible,
    sees_recordings,
)
from sfu_wrapper.core.effects import Effect
from sfu_wrapper.core.events import (
    ControllerReady,
    ControllerStopping,
    Requester,
    UserBack,
    UserGone,
)
from sfu_wrapper.core.people import Participant
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import create, step
from sfu_wrapper.model.errors import Broken, Code, RecordingError, Refused, Unavailable
from sfu_wrapper.model.identity import DomainId, Identity, OwnerPermissions, RoomId, UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.rooms.actor import ActorContext, Offer, RoomActor
from sfu_wrapper.service.rooms.commit import EffectRunner
from sfu_wrapper.service.rooms.idempotency import (
    NOT_KEPT,
    IdempotencyStore,
    RequestRef,
    parse_ref,
    ref_of,
)
from sfu_wrapper.service.rooms.job_results import JobResults, Notifications, result_keeper
from sfu_wrapper.service.rooms.listing import Lister, answered
from sfu_wrapper.service.rooms.maintenance import Monitor, NullMonitor
from sfu_wrapper.service.rooms.media_sessions import MediaSessions
from sfu_wrapper.service.rooms.messages import encode_error, internal_error, stored_room
from sfu_wrapper.service.rooms.plane_events import PlaneEvents
from sfu_wrapper.service.rooms.registry import Finder, RoomRegistry, may_be_in
from sfu_wrapper.service.rooms.room_creation import RoomCreation
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.service.rooms.scheduling import Apply, Build, Command, Query, Scheduler
from sfu_wrapper.service.rooms.sessions import Client, Sessions
from sfu_wrapper.service.rooms.subscriptions import Subscriptions
from sfu_wrapper.wire.answers import joinable_json, room_json
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
    event_of,
    joins_itself,
)

_Addressed = tuple[RoomActor, Command]

log = logging.getLogger(__name__)


class Rooms:
    """Rooms of this controller (``service.rooms.sessions.RoomsApi``); see ``ActorContext``.

    Args:
        keep_answers_ms: time for which answers are kept for repeats.
        kept_answer_bytes: limit of the kept answers of one user; 0: no limit.

    Attributes:
        audit: audit entries.
        queries: reads of rooms, for HTTP and subscriptions.
        media_sessions: WebRTC sessions of the participants.
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
        offer: Offer = lambda _: None,
        monitor: Monitor | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        monitor = monitor or NullMonitor()
        self._sessions = Sessions()
        self._idempotency = IdempotencyStore(
            store, keep_answers_ms, epoch, monitor.answered, keep_bytes=kept_answer_bytes
        )
        self._registry = RoomRegistry()
        self._plane_events = PlaneEvents(plane, store, self._registry, self._post_fact)
        self._room_idle, self._draining = asyncio.Event(), False
        self._effects = EffectRunner(self._sessions, plane, monitor)
        self.audit = audit or Audit(store, clock, epoch)
        self._context = self._actor_context(epoch, offer, monitor)
        self.job_results = JobResults()
        revive = partial(RoomActor.of_settled, self._context)
        self._finder = Finder(self._registry, self._sessions, store, revive, self.job_results.load)
        self._creation = RoomCreation(self._registry, store, clock, rules.quotas)
        self.media_sessions = MediaSessions(self._visible_room)
        permissions, news = store.permissions, self.job_results.of_room
        self.queries = RoomQueries(
            self._registry, self._finder, clock, rules.policy, permissions, news
        )
        self._lister = Lister(self.queries)
        self._subscriptions = Subscriptions(self.queries, self.job_results, clock)

    def _actor_context(self, epoch: int, offer: Offer, monitor: Monitor) -> ActorContext:
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
            refusals=self.audit.refusals,
        )

    def load(self) -> None:
        """Load the rooms of an earlier controller; call before any client connects."""
        self._idempotency.load(self._clock.now().wall_ms)
        for row in self._store.unsettled_rooms():
            try:
                stored = stored_room(self._store, row)
                room = decode_room(stored)
                self.job_results.load(stored)
            except Broken as broken:
                # One damaged room must not block the others; its row stays unchanged.
                log.critical("room.unreadable", extra={"room": row.uuid, "error": broken.detail})
                continue
            for waiting in room.waiting:
                self._idempotency.resume(parse_ref(waiting.ref))
            actor = RoomActor(self._context, room.uuid, room, outdated=stored.outdated)
            self._registry.add(room, actor)
            self._registry.changed(None, room)
            self._post_fact(actor, lambda _, at: ControllerReady(at))

    async def run(self) -> None:
        """Pass facts of the media plane to the rooms, until cancelled."""
        await self._plane_events.run()

    async def drain(self, within_s: float) -> bool:
        """Stop all segments (SIGTERM). Returns True if every room is stored and quiet in time."""
        self._draining = True  # a new room would miss the ControllerStopping posted below
        for actor in self._registry:
            self._post_fact(actor, lambda _, at: ControllerStopping(at))
        try:
            async with asyncio.timeout(within_s):
                while not all(actor.is_quiet for actor in self._registry):
                    self._room_idle.clear()
                    await self._room_idle.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Cancel all timers and drop pending work."""
        self._subscriptions.close()
        self._lister.close()
        self._effects.close()
        self._context.scheduler.close()
        for actor in self._registry:
            actor.close()

    def notifications(self, broker: Broker) -> Notifications:
        """Return the forwarder of the recording service's messages to the users of these rooms."""
        find, worked_on = self._finder.by_uuid, self._subscriptions.worked_on
        keep = result_keeper(self._store, self._context.epoch)
        return Notifications(broker, find, self._sessions, self.job_results, worked_on, keep)

    def connected(self, client: Client) -> None:
        """See ``RoomsApi``."""
        self._sessions.add(client)
        user = client.identity.key
        for uuid in self._registry.rooms_of(user):
            actor = self._registry.by_uuid(uuid)
            if actor is not None and not self._sessions.is_bound(user, uuid):
                self._bind(client, actor)  # in the grace: it takes the place of the lost one

    def disconnected(self, client: Client) -> None:
        """See ``RoomsApi``."""
        self._lister.forget(client)
        self._subscriptions.forget(client)
        user, rooms = self._sessions.remove(client) or (None, ())
        for uuid in rooms:
            actor = self._registry.by_uuid(uuid)
            if actor is not None and user is not None:
                self._post_fact(actor, _user_gone(user))

    def handle(self, client: Client, request: Request) -> None:
        """See ``RoomsApi``."""
        ref: RequestRef | None = None
        try:
            if self._handle_query(client, request):
                return
            ref = ref_of(client.identity, request)
            if self._idempotency.begin(client, ref, self._clock.now().wall_ms):
                actor, command = self._command(client, request, ref)
                actor.post(command)
            else:
                self._bind_repeat(client, request.payload)
        except (Refused, Unavailable) as error:
            self._refuse(client, request, ref, error)
        except Exception:
            log.exception("request.failed", extra={"endpoint": request.endpoint})
            self._answer(client, ref, internal_error(request))

    def _handle_query(self, client: Client, request: Request) -> bool:
        """Handle a request that changes no room. Returns False for any other request."""
        match request.payload:
            case GetRoom() | JoinRoom(check=True) as payload:
                self._show_room(client, request, payload)
            case ListRooms() as payload:
                self._lister.start_page(client, request, payload)
            case Watch(topics=topics):
                self._lister.start_query(
                    client, request, partial(self._subscriptions.watch, client, topics)
                )
            case Unwatch(topics=left):
                self._lister.start_query(
                    client, request, partial(self._subscriptions.unwatch, client, left)
                )
            case _:
                return False
        return True

    def _answer(self, client: Client, ref: RequestRef | None, answer: bytes) -> None:
        """Answer a request that reached no room, and its repeats that arrived meanwhile."""
        if ref is None or not self._idempotency.finish(ref, answer):
            client.deliver(answer)

    def _refuse(
        self, client: Client, request: Request, ref: RequestRef | None, error: RecordingError
    ) -> None:
        """Answer with an error, and keep it for repeats, as the answers of rooms are kept."""
        answer = encode_error(request, error)
        if ref is not None and error.code not in NOT_KEPT and self._idempotency.is_under_way(ref):
            self._idempotency.keep(ref, answer, self._clock.now().wall_ms)
        else:
            self._answer(client, ref, answer)

    def _command(self, client: Client, request: Request, ref: RequestRef) -> _Addressed:
        """Return the command for a request that changes a room, and the actor of that room."""
        payload = request.payload
        if isinstance(payload, CreateRoom):
            return self._creation_of(client.identity, payload, ref)
        by = requester(client.identity)
        build = event_of(payload, str(ref), by, self._permissions)
        actor = self._actor_for(client, by, payload)
        joins = None
        if joins_itself(payload, by):
            self._sessions.joined(client, actor.uuid)
            joins = by.key
        charge = None if by.service else client.charge
        apply = self._step_with(build, request.trace)
        return actor, Command(apply, ref, joins=joins, charge=charge)

    def _bind_repeat(self, client: Client, payload: Payload) -> None:
        """Bind the participation to the connection that repeats a join which was carried out."""
        by = requester(client.identity)
        if not joins_itself(payload, by):
            return
        with suppress(Refused, Unavailable):  # the repeat has its answer
            actor = self._actor_for(client, by, payload)
            if may_be_in(actor, by.key):
                self._bind(client, actor)

    def _bind(self, client: Client, actor: RoomActor) -> None:
        self._sessions.joined(client, actor.uuid)
        self._post_fact(actor, lambda _, at: UserBack(at, client.identity.key))

    def _creation_of(self, identity: Identity, payload: CreateRoom, ref: RequestRef) -> _Addressed:
        if self._draining:
            raise Refused(Code.OVERLOADED, "the controller restarts; send the request again")
        spec = self._creation.admit(identity, payload)

        def make(_: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
            permissions = self._store.permissions(owner)
            return create(spec, at, str(ref), permissions, self._rules)

        owner = UserKey(spec.domain, spec.owner)
        actor = RoomActor(self._context, spec.uuid, owner=owner)
        self._registry.add(spec, actor)

        def undo() -> None:
            self._registry.remove(actor)
            self._creation.withdraw(spec)

        return actor, Command(make, ref, undo)

    def _show_room(self, client: Client, request: Request, payload: Payload) -> None:
        by = requester(client.identity)
        show = partial(self._room_json, payload, by)
        query = Query(lambda room: client.deliver(answered(request, partial(show, room))))
        self._actor_for(client, by, payload).post(query)

    def _room_json(self, payload: Payload, by: Requester, room: Room | None) -> dict[str, object]:
        if room is None:
            raise Refused(Code.ROOM_NOT_FOUND, NOT_FOUND)
        if isinstance(payload, JoinRoom):
            require_may_join(room, by, by.key)
            return joinable_json(room)
        require_visible(room, by)
        found = self.queries.snapshot_of(room)
        seen = sees_recordings(room, by)
        return room_json(room, found.permissions, self._rules.policy, found.news, results=seen)

    def _actor_for(self, client: Client, by: Requester, payload: Payload) -> RoomActor:
        """Return the actor of the room that the request names, else of the sender's only room."""
        room_id: str | None = getattr(payload, "room", None)
        if room_id is None:
            return self._finder.only_room(client)
        domain = DomainId(getattr(payload, "domain", None) or by.key.domain)
        now_ms = self._clock.now().wall_ms
        joins = isinstance(payload, JoinRoom)
        return self._finder.by_id(by, domain, RoomId(room_id), now_ms, joins=joins)

    def _visible_room(self, user: UserKey, domain: DomainId, room_id: RoomId) -> Room | None:
        """Return a room if the user may see it. Raises Refused, Unavailable."""
        now_ms = self._clock.now().wall_ms
        return self._finder.by_id(Requester(user), domain, room_id, now_ms).room

    def _permissions(self, room: Room) -> OwnerPermissions:
        return self._store.permissions(room.owner_key)

    def _step_with(self, build: Build, trace: TraceContext | None = None) -> Apply:
        def apply(room: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
            if room is None:
                raise Refused(Code.ROOM_NOT_FOUND, NOT_FOUND)
            return step(room, build(room, at), self._rules, trace)

        return apply

    def _post_fact(self, actor: RoomActor, build: Build) -> None:
        actor.post(Command(self._step_with(build)))

    def _committed(self, actor: RoomActor, before: Room | None) -> None:
        room = actor.room
        if room is None:
            return
        self._registry.changed(before, room)
        self._subscriptions.room_changed(before, room)
        changes = room.participants.changes(before.participants if before is not None else None)
        if any(now is None for _, now in changes):
            self.media_sessions.room_changed(room)
        for was, now in changes:
            if now is not None:
                self._start_missed_grace(actor, now)
            elif was is not None and not actor.is_joining(was.key):
                self._sessions.left(was.key, room.uuid)

    def _became_idle(self, actor: RoomActor) -> None:
        self._room_idle.set()
        if actor.room is not None and actor.room.fully_closed and actor.is_idle:
            self._registry.remove(actor)

    def _start_missed_grace(self, actor: RoomActor, joined: Participant) -> None:
        """Start the grace of a participant whose connection was lost while its join was stored."""
        unbound = joined.by_service or joined.gone_by_ms is not None
        if not unbound and not self._sessions.is_bound(joined.key, actor.uuid):
            self._post_fact(actor, _user_gone(joined.key))


def _user_gone(user: UserKey) -> Build:
    return lambda _, at: UserGone(at, user)
