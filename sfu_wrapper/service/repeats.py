"""Requests that change something are done once, however often they are sent.

An answer is kept with the change that it answers, so a repeat gets it over a new connection and
after a restart too; a request that is still under way collects those who ask again.
Source: protocol.md, "Repeats".
"""

from asyncio import Future
from dataclasses import dataclass, field

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, Store
from sfu_wrapper.service.clients import Client
from sfu_wrapper.service.refs import RequestRef

NOT_KEPT = frozenset((Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAUTHENTICATED, Code.INTERNAL))
OTHER_PAYLOAD = "this id was used for another request; take a new one"


@dataclass(slots=True)
class _UnderWay:
    digest: bytes
    clients: list[Client] = field(default_factory=list)


class Repeats:
    """Who waits for which answer. keep_ms: how long an answer is kept. epoch: see ``Store``."""

    def __init__(self, store: Store, keep_ms: int, epoch: int) -> None:
        self._store = store
        self._epoch = epoch
        self._keep_ms = keep_ms
        self._under_way: dict[str, _UnderWay] = {}

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

    def row(self, ref: RequestRef, answer: bytes, now_ms: int) -> AnswerRow:
        """What to store with the change."""
        return AnswerRow(ref.key, ref.digest, answer, now_ms + self._keep_ms)

    def finish(self, ref: RequestRef, answer: bytes) -> bool:
        """Answer everybody who asked. False where this request is not under way."""
        if not self.is_under_way(ref):
            return False
        for client in self._under_way.pop(ref.key).clients:
            client.deliver(answer)
        return True

    def keep(self, ref: RequestRef, answer: bytes, now_ms: int) -> None:
        """Store an answer that goes with no change of a room, then answer everybody who asked."""
        commit = Commit(answers=(self.row(ref, answer, now_ms),))

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
