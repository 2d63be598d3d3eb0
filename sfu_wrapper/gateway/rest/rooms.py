"""``/rooms``: the rooms that the requester sees, one room, and the decision about recording it.

Read-only. The visibility of rooms is decided by ``service.rooms.room_queries``.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from sfu_wrapper.core.access import requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.model.identity import DomainId, Identity, RoomId
from sfu_wrapper.service.rooms.listing import SLICE
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.wire.answers import listed_json, whole_json
from sfu_wrapper.wire.rest import (
    CURSOR_PATTERN,
    ID_LENGTH,
    ID_PATTERN,
    DecisionModel,
    Json,
    RoomModel,
    RoomPage,
    decision_json,
    page_json,
)
from sfu_wrapper.wire.strict_json import dump

_ALL = documented(400, 401, 406, 429, 500, 503)
_ONE = documented(400, 401, 404, 406, 429, 500, 503)

_RoomInPath = Annotated[
    str, Path(alias="id", description="room id", pattern=ID_PATTERN, max_length=ID_LENGTH)
]
_DomainOfRoom = Annotated[
    str | None,
    Query(
        alias="domain",
        description="domain of the room; left out: your own",
        pattern=ID_PATTERN,
        max_length=ID_LENGTH,
    ),
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="rooms on one page")]
_After = Annotated[
    str | None, Query(pattern=CURSOR_PATTERN, description="`next` of the page before")
]
_State = Annotated[Life | None, Query(description="only rooms in this state")]


def room_routes(rooms: RoomQueries, caller: AuthenticatedRequest) -> APIRouter:
    """Return the routes of rooms."""
    router = APIRouter(tags=["rooms"])

    @router.get("/rooms", response_model=RoomPage, responses=_ALL)
    async def list_rooms(
        by: Annotated[Identity, Depends(caller)],
        limit: _Limit = 100,
        after: _After = None,
        state: _State = None,
    ) -> Response:
        """Rooms, the youngest first: your own; a domain-admin's domain's; the service's: all."""
        found = rooms.listing(requester(by), limit=limit, after=after, state=state)
        shown: list[Json] = []
        for each in rooms.snapshots(found.rooms):
            shown.append(listed_json(each.room, each.permissions, rooms.policy, each.news))
            if len(shown) % SLICE == 0:
                await asyncio.sleep(0)  # a long page must not delay others
        return _json(page_json(shown, found.next))

    @router.get("/rooms/{id}", response_model=RoomModel, responses=_ONE)
    async def get_room(
        by: Annotated[Identity, Depends(caller)], room: _RoomInPath, domain: _DomainOfRoom = None
    ) -> Response:
        """Return a room: the youngest of its domain with this id."""
        found = rooms.snapshot(requester(by), RoomId(room), _domain(domain))
        return _json(whole_json(found.room, found.permissions, rooms.policy, found.news))

    @router.get("/rooms/{id}/decision", response_model=DecisionModel, responses=_ONE)
    async def get_room_decision(
        by: Annotated[Identity, Depends(caller)], room: _RoomInPath, domain: _DomainOfRoom = None
    ) -> Response:
        """Return why a room is recorded or not: as of now, and as decided at establishment."""
        found = rooms.snapshot(requester(by), RoomId(room), _domain(domain))
        return _json(decision_json(found.room, found.permissions, rooms.policy))

    return router


def _domain(given: str | None) -> DomainId | None:
    return None if given is None else DomainId(given)


def _json(body: Json) -> Response:
    return Response(dump(body), media_type="application/json")
