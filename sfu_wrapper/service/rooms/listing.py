"""Pages of rooms, for ``listRooms`` and ``watch``, written so that nobody else waits for one.

A page of a thousand rooms takes as long as a thousand short answers. Its work is a generator that
yields after every slice. The works of all clients take turns, one slice in each turn of the event
loop, between everything else that the controller does. Which rooms a page holds is
settled at its first turn; a room stands in it as it was then. The page of a ``watch`` is one slice:
events of what changes afterwards may not overtake it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.service.rooms.messages import encode_error, internal_error, requester
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.answers import listed_json
from sfu_wrapper.wire.signaling import ListRooms, Request, ok_response

SLICE = 20  # rooms that are written at once
LONGEST_PAUSE_S = 0.01  # between two slices
LIMIT = 256  # pages that may be under way
LOOKS_LIMIT = 4_096  # watches and ends of watches that may wait, apart from them

log = logging.getLogger(__name__)

_Json = dict[str, object]


class Lister:
    """The pages that are being written."""

    def __init__(self, reader: RoomQueries) -> None:
        self._reader = reader
        self._works: deque[tuple[Client, Iterator[None]]] = deque()
        self._turn: asyncio.Handle | None = None

    def begin(self, client: Client, request: Request, asked: ListRooms) -> None:
        """Answer a listRooms, now or later.

        Raises:
            Refused: FORBIDDEN, or OVERLOADED: too many pages are under way.
        """
        by = requester(client.identity)
        if not by.service and not by.admin:
            message = "rooms are listed for the room service and for a domain's administrator"
            raise Refused(Code.FORBIDDEN, message)
        if len(self._works) >= LIMIT:
            raise Refused(Code.OVERLOADED, "too many pages of rooms are being written; ask again")
        self._add(client, self._written(client, request, asked, by))

    def look(self, client: Client, request: Request, shown: Callable[[], _Json]) -> None:
        """Answer a request for one slice with what ``shown`` returns, now or later, in order.

        Raises:
            Refused: OVERLOADED: too many wait.
        """
        if len(self._works) >= LOOKS_LIMIT:
            raise Refused(Code.OVERLOADED, "too many clients ask for rooms; ask again")
        self._add(client, self._looked(client, request, shown))

    def forget(self, client: Client) -> None:
        """Write nothing for a client whose connection is gone."""
        if self._works:
            self._works = deque(each for each in self._works if each[0] is not client)

    def close(self) -> None:
        """Write nothing any more."""
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

        The pause leaves every second millisecond to others: a start or stop takes several rounds of
        the event loop, and would otherwise wait for a slice in each of them.
        """
        self._turn = None
        if self._works:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            client, work = self._works.popleft()
            if next(work, StopIteration) is None:  # it has yielded: there is more of it
                self._works.append((client, work))
            spent_s = min(loop.time() - began_s, LONGEST_PAUSE_S)
            self._turn = loop.call_later(spent_s, self._take_turn)

    def _looked(
        self, client: Client, request: Request, shown: Callable[[], _Json]
    ) -> Iterator[None]:
        """Deliver one answer. Raises nothing, yields nothing."""
        try:
            answer = ok_response(request.endpoint, request.id, shown())
        except (Refused, Unavailable) as error:
            answer = encode_error(request, error)
        except Exception:
            log.exception("request.failed", extra={"endpoint": request.endpoint})
            answer = internal_error(request)
        client.deliver(answer)
        yield from ()

    def _written(
        self, client: Client, request: Request, asked: ListRooms, by: Requester
    ) -> Iterator[None]:
        """Write one page and deliver it; yield after every slice. Raises nothing."""
        shown: list[dict[str, object]] = []
        state = None if asked.state is None else Life(asked.state)
        try:
            found = self._reader.listing(by, limit=asked.limit, after=asked.after, state=state)
            for each in self._reader.snapshots(found.rooms):
                shown.append(
                    listed_json(each.room, each.permissions, self._reader.policy, each.news)
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
