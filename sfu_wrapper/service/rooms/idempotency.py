"""Idempotency: a request that changes something is executed once, however often it is sent.

What enters: each request before it reaches a room (``begin``), answers (``finish``, ``keep``), and
the store's list of kept answers after a start (``load``). What leaves: answers to all clients that
sent the request, and rows that the store keeps with the change (``rows``).

Rules: an answer is stored in the transaction of its change, so a repeat gets the same answer over a
new connection and after a restart. A repeat of a request that is under way waits for its answer. An
id that is used with another payload is refused. Source: protocol.md, "Repeats".

The kept answers of one user have a limit in bytes, so that one user cannot fill the store: the
oldest are evicted first (``KeptAnswers``, O(1) an answer).
"""

import time
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, Store
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.signaling import Request


@dataclass(frozen=True, slots=True)
class RequestRef:
    """Reference of a request: user, endpoint, id and payload (protocol.md, "Repeats").

    Rooms store it with requests that wait for an answer.

    Attributes:
        key: domain, user, endpoint and id; the same for every repeat.
        endpoint: endpoint of the request.
        id: id that the client chose.
        digest: hash of the payload.
    """

    key: str
    endpoint: str
    id: str
    digest: bytes

    def __str__(self) -> str:
        """Return the stored form; no part can contain a line break."""
        return "\n".join((self.key, self.digest.hex()))


def ref_of(identity: Identity, request: Request) -> RequestRef:
    """Return the reference of a request of this user."""
    key = "\n".join((identity.domain, identity.user, request.endpoint, request.id))
    return RequestRef(key, request.endpoint, request.id, request.digest)


def parse_ref(text: str) -> RequestRef:
    """Parse the stored form.

    Raises:
        ValueError: the text has another form, which is a bug of ours.
    """
    domain, user, endpoint, request_id, digest = text.split("\n")
    key = "\n".join((domain, user, endpoint, request_id))
    return RequestRef(key, endpoint, request_id, bytes.fromhex(digest))


OVERHEAD_BYTES: Final = 256  # of storage, in addition to the answer


@dataclass(frozen=True, slots=True)
class _Kept:
    user: str
    key: str
    bytes: int
    expires_ms: int


@dataclass(slots=True)
class _Share:
    """Kept answers of one user, oldest first."""

    bytes: int = 0
    answers: deque[_Kept] = field(default_factory=deque)


class KeptAnswers:
    """Sizes of the kept answers by user.

    Args:
        limit_bytes: limit for one user; 0: no limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._shares: dict[str, _Share] = {}
        self._all: deque[_Kept] = deque()  # oldest first, in order of expiry
        self._by_key: dict[str, _Kept] = {}

    def may_hold(self, key: str) -> bool:
        """Return False if the store certainly has no answer of that key."""
        return not self._limit_bytes or key in self._by_key

    def add(self, key: str, size: int, expires_ms: int, now_ms: int) -> list[str]:
        """Count one more answer.

        Args:
            key: as of ``RequestRef``, which begins with domain and user.
            size: bytes of the answer.
            expires_ms: time of expiry, epoch ms; never before that of the answer added last.
            now_ms: current time, epoch ms.

        Returns:
            Keys of evicted answers; the key of this one if it alone exceeds the limit.
        """
        if not self._limit_bytes:
            return []
        self._expire(now_ms)
        user = "\n".join(key.split("\n", 2)[:2])
        kept = _Kept(user, key, size + OVERHEAD_BYTES, expires_ms)
        share = self._shares.setdefault(user, _Share())
        share.answers.append(kept)
        share.bytes += kept.bytes
        self._all.append(kept)
        self._by_key[key] = kept
        evicted = []
        while share.bytes > self._limit_bytes:
            evicted.append(self._drop_oldest(share))
        return evicted

    def _expire(self, now_ms: int) -> None:
        while self._all and self._all[0].expires_ms <= now_ms:
            expired = self._all.popleft()
            share = self._shares.get(expired.user)
            if share is None or not share.answers or share.answers[0] is not expired:
                continue  # evicted already
            self._drop_oldest(share)
            if not share.answers:
                del self._shares[expired.user]

    def _drop_oldest(self, share: _Share) -> str:
        oldest = share.answers.popleft()
        share.bytes -= oldest.bytes
        if self._by_key.get(oldest.key) is oldest:
            del self._by_key[oldest.key]
        return oldest.key


# Refusals that say "later": the same request is carried out when it is sent again, and a flood of
# refused requests stores nothing.
NOT_KEPT = frozenset(
    (
        Code.RATE_LIMITED,
        Code.QUOTA_EXCEEDED,
        Code.OVERLOADED,
        Code.UNAUTHENTICATED,
        Code.INTERNAL,
    )
)
OTHER_PAYLOAD = "this id was used for another request; take a new one"


@dataclass(slots=True)
class _UnderWay:
    digest: bytes
    clients: list[Client] = field(default_factory=list)
    began_s: float | None = None  # None: before a restart


class IdempotencyStore:
    """Requests under way with their clients, and the kept answers.

    Args:
        store: where answers are kept.
        keep_ms: time for which an answer is kept.
        epoch: epoch of this controller; see ``Store``.
        answered: called with the endpoint of each answered request and the s since it came.
        keep_bytes: limit of the kept answers of one user; 0: no limit.
    """

    def __init__(
        self,
        store: Store,
        keep_ms: int,
        epoch: int,
        answered: Callable[[str, float], None] = lambda _, __: None,
        *,
        keep_bytes: int = 0,
    ) -> None:
        self._answered = answered
        self._store = store
        self._epoch = epoch
        self._keep_ms = keep_ms
        self._under_way: dict[str, _UnderWay] = {}
        self._kept = KeptAnswers(keep_bytes)

    def load(self, now_ms: int) -> None:
        """Count the answers kept by an earlier controller. Raises Unavailable."""
        for known in self._store.kept_answers():
            self._kept.add(known.key, known.bytes, known.expires_ms, now_ms)

    def begin(self, client: Client, ref: RequestRef, now_ms: int) -> bool:
        """Register a request. Returns True if it is new; a repeat is answered here, now or later.

        Raises:
            Refused: the id was used with another payload.
        """
        under_way = self._under_way.get(ref.key)
        if under_way is not None:
            _require_same(under_way.digest, ref)
            under_way.clients.append(client)
            return False
        may_hold = self._kept.may_hold(ref.key)  # avoids a read for new requests
        kept = self._store.answer(ref.key, now_ms) if may_hold else None
        if kept is not None:
            _require_same(kept.digest, ref)
            client.deliver(kept.answer)
            return False
        self._under_way[ref.key] = _UnderWay(ref.digest, [client], time.monotonic())
        return True

    def is_under_way(self, ref: RequestRef) -> bool:
        """Return True if this request, with this payload, is not answered yet."""
        under_way = self._under_way.get(ref.key)
        return under_way is not None and under_way.digest == ref.digest

    def resume(self, ref: RequestRef) -> None:
        """Register a request that a stored room holds unanswered, after a restart."""
        self._under_way[ref.key] = _UnderWay(ref.digest)

    def rows(
        self, answers: Iterable[tuple[RequestRef, bytes]], now_ms: int
    ) -> tuple[tuple[AnswerRow, ...], tuple[str, ...]]:
        """Return the rows to store with the change, and the keys of evicted answers."""
        expires_ms = now_ms + self._keep_ms
        rows = tuple(AnswerRow(ref.key, ref.digest, body, expires_ms) for ref, body in answers)
        evicted: list[str] = []
        for row in rows:
            evicted += self._kept.add(row.key, len(row.answer), expires_ms, now_ms)
        return tuple(row for row in rows if row.key not in evicted), tuple(evicted)

    def finish(self, ref: RequestRef, answer: bytes) -> bool:
        """Answer all clients that sent the request. Returns False if it is not under way."""
        if not self.is_under_way(ref):
            return False
        under_way = self._under_way.pop(ref.key)
        for client in under_way.clients:
            client.deliver(answer)
        if under_way.began_s is not None:
            self._answered(ref.endpoint, time.monotonic() - under_way.began_s)
        return True

    def keep(self, ref: RequestRef, answer: bytes, now_ms: int) -> None:
        """Store an answer without a change of a room, then answer the clients."""
        rows, evicted = self.rows([(ref, answer)], now_ms)
        commit = Commit(answers=rows, forgotten=evicted)

        def stored(done: "Future[tuple[OutboxRow, ...]]") -> None:
            if not done.cancelled():
                done.exception()  # if it was not stored, a repeat is executed
            self.finish(ref, answer)

        self._store.commit(commit, self._epoch).add_done_callback(stored)

    def defer(self, ref: RequestRef, answer: bytes) -> None:
        """Answer the waiting clients provisionally; a repeat still gets the final answer."""
        if self.is_under_way(ref):
            under_way = self._under_way[ref.key]
            waiting, under_way.clients = under_way.clients, []
            for client in waiting:
                client.deliver(answer)


def _require_same(digest: bytes, ref: RequestRef) -> None:
    if digest != ref.digest:
        raise Refused(Code.BAD_REQUEST, OTHER_PAYLOAD, path="id")
