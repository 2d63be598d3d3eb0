"""Requests that change something are done once, however often they are sent.

An answer is kept with the change that it answers, so a repeat gets it over a new connection and
after a restart too; a request that is still under way collects those who ask again.
Source: protocol.md, "Repeats".
"""

from asyncio import Future
from collections.abc import Iterable
from dataclasses import dataclass, field

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, Store
from sfu_wrapper.service.rooms.clients import Client
from sfu_wrapper.service.rooms.kept_answers import KeptAnswers
from sfu_wrapper.service.rooms.request_ref import RequestRef

NOT_KEPT = frozenset((Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAUTHENTICATED, Code.INTERNAL))
OTHER_PAYLOAD = "this id was used for another request; take a new one"


@dataclass(slots=True)
class _UnderWay:
    digest: bytes
    clients: list[Client] = field(default_factory=list)


class Repeats:
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
        kept = self._store.answer(ref.key, now_ms)
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

    def put_off(self, ref: RequestRef, answer: bytes) -> None:
        """Tell everybody who asked that it takes longer; who asks again gets the outcome."""
        if self.is_under_way(ref):
            under_way = self._under_way[ref.key]
            waiting, under_way.clients = under_way.clients, []
            for client in waiting:
                client.deliver(answer)


def _require_same(digest: bytes, ref: RequestRef) -> None:
    if digest != ref.digest:
        raise Refused(Code.BAD_REQUEST, OTHER_PAYLOAD, path="id")
