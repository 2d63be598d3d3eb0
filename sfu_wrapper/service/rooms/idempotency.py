"""Requests that change something are done once, however often they are sent.

An answer is kept with the change that it answers, so a repeat gets it over a new connection and
after a restart too; a request that is still under way collects those who ask again.
Source: protocol.md, "Repeats".

The name of a request under which it is answered, repeated and kept.

Shares of users in the answers that are kept for repeats: the oldest make room for the newest.

Without a bound, one user could fill the store within the time for which answers are kept. Counting
costs O(1) an answer; what has expired is no longer counted, whether or not it is still stored.
"""

from asyncio import Future
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, Store
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.signaling import Request


@dataclass(frozen=True, slots=True)
class RequestRef:
    """Who asked what under which id, with which payload (protocol.md, "Repeats").

    key: the same for every repeat, whatever its payload. Stored with rooms that let it wait.
    """

    key: str
    endpoint: str
    id: str
    digest: bytes

    def __str__(self) -> str:
        """The stored form; no part can hold a line break."""
        return "\n".join((self.key, self.digest.hex()))


def ref_of(identity: Identity, request: Request) -> RequestRef:
    """The name of this request of this user."""
    key = "\n".join((identity.domain, identity.user, request.endpoint, request.id))
    return RequestRef(key, request.endpoint, request.id, request.digest)


def parse_ref(text: str) -> RequestRef:
    """Read the stored form.

    Raises:
        ValueError: it is none, which is a bug of ours.
    """
    domain, user, endpoint, request_id, digest = text.split("\n")
    key = "\n".join((domain, user, endpoint, request_id))
    return RequestRef(key, endpoint, request_id, bytes.fromhex(digest))


OVERHEAD_BYTES: Final = 256  # of a stored answer, beside its own


@dataclass(frozen=True, slots=True)
class _Kept:
    user: str
    key: str
    bytes: int
    expires_ms: int


@dataclass(slots=True)
class _Share:
    """What is kept for one user, oldest first."""

    bytes: int = 0
    answers: deque[_Kept] = field(default_factory=deque)


class KeptAnswers:
    """Sizes of the kept answers by user. limit_bytes: of one user; 0: no limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._shares: dict[str, _Share] = {}
        self._all: deque[_Kept] = deque()  # oldest first, which is the order of expiry as well
        self._by_key: dict[str, _Kept] = {}

    def may_hold(self, key: str) -> bool:
        """Return False where the store certainly has no answer of that key."""
        return not self._limit_bytes or key in self._by_key

    def add(self, key: str, size: int, expires_ms: int, now_ms: int) -> list[str]:
        """Count one more answer.

        Args:
            key: as of ``RequestRef``, which begins with domain and user.
            size: bytes of the answer.
            expires_ms, now_ms: epoch ms; answers are added in the order of their expiry.

        Returns:
            Keys to be kept no longer; its own among them where it alone is too large.
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
        gone = []
        while share.bytes > self._limit_bytes:
            gone.append(self._drop_oldest(share))
        return gone

    def _expire(self, now_ms: int) -> None:
        while self._all and self._all[0].expires_ms <= now_ms:
            expired = self._all.popleft()
            share = self._shares.get(expired.user)
            if share is None or not share.answers or share.answers[0] is not expired:
                continue  # it had to make room before
            self._drop_oldest(share)
            if not share.answers:
                del self._shares[expired.user]

    def _drop_oldest(self, share: _Share) -> str:
        oldest = share.answers.popleft()
        share.bytes -= oldest.bytes
        if self._by_key.get(oldest.key) is oldest:
            del self._by_key[oldest.key]
        return oldest.key


NOT_KEPT = frozenset((Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAUTHENTICATED, Code.INTERNAL))
OTHER_PAYLOAD = "this id was used for another request; take a new one"


@dataclass(slots=True)
class _UnderWay:
    digest: bytes
    clients: list[Client] = field(default_factory=list)


class IdempotencyStore:
    """Who waits for which answer, and the answers that are kept.

    keep_ms: how long an answer is kept. epoch: see ``Store``. keep_bytes: of the answers of one
        user, at most; 0: no limit.
    """

    def __init__(self, store: Store, keep_ms: int, epoch: int, *, keep_bytes: int = 0) -> None:
        self._store = store
        self._epoch = epoch
        self._keep_ms = keep_ms
        self._under_way: dict[str, _UnderWay] = {}
        self._kept = KeptAnswers(keep_bytes)

    def load(self, now_ms: int) -> None:
        """Count what an earlier controller kept. Raises Unavailable: it cannot be read."""
        for known in self._store.kept_answers():
            self._kept.add(known.key, known.bytes, known.expires_ms, now_ms)

    def begin(self, client: Client, ref: RequestRef, now_ms: int) -> bool:
        """Whether the request is new; a repeat is answered here, now or with the first.

        Raises:
            Refused: the id was used with another payload.
        """
        under_way = self._under_way.get(ref.key)
        if under_way is not None:
            _require_same(under_way.digest, ref)
            under_way.clients.append(client)
            return False
        may_hold = self._kept.may_hold(ref.key)  # most requests are new: nothing is read for them
        kept = self._store.answer(ref.key, now_ms) if may_hold else None
        if kept is not None:
            _require_same(kept.digest, ref)
            client.deliver(kept.answer)
            return False
        self._under_way[ref.key] = _UnderWay(ref.digest, [client])
        return True

    def is_under_way(self, ref: RequestRef) -> bool:
        """Whether this very request was begun and is not answered."""
        under_way = self._under_way.get(ref.key)
        return under_way is not None and under_way.digest == ref.digest

    def resume(self, ref: RequestRef) -> None:
        """After a restart: a stored room still has this one waiting."""
        self._under_way[ref.key] = _UnderWay(ref.digest)

    def rows(
        self, answers: Iterable[tuple[RequestRef, bytes]], now_ms: int
    ) -> tuple[tuple[AnswerRow, ...], tuple[str, ...]]:
        """Return what to store with the change, and the keys of older answers that make room."""
        expires_ms = now_ms + self._keep_ms
        rows = tuple(AnswerRow(ref.key, ref.digest, body, expires_ms) for ref, body in answers)
        gone: list[str] = []
        for row in rows:
            gone += self._kept.add(row.key, len(row.answer), expires_ms, now_ms)
        return tuple(row for row in rows if row.key not in gone), tuple(gone)

    def finish(self, ref: RequestRef, answer: bytes) -> bool:
        """Answer everybody who asked. False where this request is not under way."""
        if not self.is_under_way(ref):
            return False
        for client in self._under_way.pop(ref.key).clients:
            client.deliver(answer)
        return True

    def keep(self, ref: RequestRef, answer: bytes, now_ms: int) -> None:
        """Store an answer that goes with no change of a room, then answer everybody who asked."""
        rows, gone = self.rows([(ref, answer)], now_ms)
        commit = Commit(answers=rows, forgotten=gone)

        def stored(done: "Future[tuple[OutboxRow, ...]]") -> None:
            if not done.cancelled():
                done.exception()  # where it could not be, a repeat is looked at anew
            self.finish(ref, answer)

        self._store.commit(commit, self._epoch).add_done_callback(stored)

    def defer(self, ref: RequestRef, answer: bytes) -> None:
        """Tell everybody who asked that it takes longer; who asks again gets the outcome."""
        if self.is_under_way(ref):
            under_way = self._under_way[ref.key]
            waiting, under_way.clients = under_way.clients, []
            for client in waiting:
                client.deliver(answer)


def _require_same(digest: bytes, ref: RequestRef) -> None:
    if digest != ref.digest:
        raise Refused(Code.BAD_REQUEST, OTHER_PAYLOAD, path="id")
