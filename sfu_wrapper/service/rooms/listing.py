"""Lister: answers ``listRooms``, ``watch`` and ``unwatch`` in slices between other work.

A page of a thousand rooms takes as long as a thousand short answers. So each page is a generator
that yields after ``SLICE`` rooms, and the pages of all clients take turns, a slice at a time, with
a pause after each. Which rooms a page holds is fixed at its first slice, and each room appears as
it was then. The answer to ``watch`` is a single slice: events about later changes must not overtake
it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator

from sfu_wrapper.core.access import requester
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.service.rooms.messages import encode_error, internal_error
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.answers import listed_json
from sfu_wrapper.wire.signaling import ListRooms, Request, ok_response

SLICE = 20  # rooms written in one round
LONGEST_PAUSE_S = 0.01  # between two slices
LIMIT = 256  # pages in progress
QUERIES_LIMIT = 4_096  # entries, with waiting watch and unwatch requests

log = logging.getLogger(__name__)

_Json = dict[str, object]


class Lister:
    """Pages and queries in progress.

    Args:
        queries: source of the rooms.
    """

    def __init__(self, queries: RoomQueries) -> None:
        self._queries = queries
        self._works: deque[tuple[Client, Iterator[None]]] = deque()
        self._turn: asyncio.Handle | None = None

    def start_page(self, client: Client, request: Request, payload: ListRooms) -> None:
        """Answer a ``listRooms``, now or later.

        Raises:
            Refused: FORBIDDEN, or OVERLOADED: too many pages are in progress.
        """
        by = requester(client.identity)
        if not by.service and not by.admin:
            message = "rooms are listed for the room service and for a domain's administrator"
            raise Refused(Code.FORBIDDEN, message)
        if len(self._works) >= LIMIT:
            raise Refused(Code.OVERLOADED, "too many pages of rooms are being written; try again")
        self._add(client, self._write_page(client, request, payload, by))

    def start_query(self, client: Client, request: Request, shown: Callable[[], _Json]) -> None:
        """Answer a request with the payload that ``shown`` returns, now or later, in order.

        Raises:
            Refused: OVERLOADED: too many requests wait.
        """
        if len(self._works) >= QUERIES_LIMIT:
            raise Refused(Code.OVERLOADED, "too many clients request rooms; try again")
        self._add(client, self._write_answer(client, request, shown))

    def forget(self, client: Client) -> None:
        """Drop the work for a disconnected client."""
        if self._works:
            self._works = deque(each for each in self._works if each[0] is not client)

    def close(self) -> None:
        """Drop all work."""
        self._works.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _add(self, client: Client, work: Iterator[None]) -> None:
        self._works.append((client, work))
        if self._turn is None:
            self._take_turn()

    def _take_turn(self) -> None:
        """Write a slice of the page that has waited longest, then pause for as long as it took.

        The pause leaves half of the time to other work: a start or stop takes several rounds of
        the event loop, and would otherwise wait for a slice in each of them.
        """
        self._turn = None
        if self._works:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            client, work = self._works.popleft()
            if next(work, StopIteration) is None:  # yielded, so it is not finished
                self._works.append((client, work))
            spent_s = min(loop.time() - began_s, LONGEST_PAUSE_S)
            self._turn = loop.call_later(spent_s, self._take_turn)

    def _write_answer(
        self, client: Client, request: Request, shown: Callable[[], _Json]
    ) -> Iterator[None]:
        """Deliver one answer. Raises nothing, yields nothing."""
        client.deliver(answered(request, shown))
        yield from ()

    def _write_page(
        self, client: Client, request: Request, payload: ListRooms, by: Requester
    ) -> Iterator[None]:
        """Write one page and deliver it; yield after every slice. Raises nothing."""
        shown: list[dict[str, object]] = []
        state = None if payload.state is None else Life(payload.state)
        try:
            found = self._queries.listing(by, limit=payload.limit, after=payload.after, state=state)
            for each in self._queries.snapshots(found.rooms):
                shown.append(
                    listed_json(each.room, each.permissions, self._queries.policy, each.news)
                )
                if len(shown) % SLICE == 0:
                    yield
            more = {} if found.next is None else {"next": found.next}
            answer = ok_response(request.endpoint, request.id, {"rooms": shown, **more})
        except (Refused, Unavailable) as error:
            answer = encode_error(request, error)
        except Exception:
            log.exception("request.failed", extra={"endpoint": request.endpoint})
            answer = internal_error(request)
        client.deliver(answer)


def answered(request: Request, shown: Callable[[], _Json]) -> bytes:
    """Return the response with the payload that ``shown`` returns, or with its error."""
    try:
        return ok_response(request.endpoint, request.id, shown())
    except (Refused, Unavailable) as error:
        return encode_error(request, error)
    except Exception:
        log.exception("request.failed", extra={"endpoint": request.endpoint})
        return internal_error(request)
