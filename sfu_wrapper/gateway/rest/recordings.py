"""``/recordings`` and ``/usage``: what the requester may see of the index of recordings.

Read-only. The visibility of recordings is decided by ``service.recordings.queries``. Files and
links are in ``files``.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from sfu_wrapper.core.access import requester
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    DomainId,
    Identity,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import RecordingKey, RecordingState
from sfu_wrapper.ports.recordings import Position, RecordingQuery
from sfu_wrapper.service.recordings.missed import PAGE, MissedCalls
from sfu_wrapper.service.recordings.queries import (
    RecordingQueries,
    RecordingView,
    RecordingViews,
)
from sfu_wrapper.service.recordings.retries import RecordingRetries
from sfu_wrapper.service.recordings.room_walk import RoomPlace
from sfu_wrapper.service.rooms.listing import SLICE
from sfu_wrapper.wire.recording_models import (
    OWNER_PATTERN,
    PAGE_PATTERN,
    PARTICIPANT_PATTERN,
    PLACE_PATTERN,
    UUID_PATTERN,
    IndexedRecording,
    MissedCallsPage,
    RecordingsPage,
    UsagePage,
)
from sfu_wrapper.wire.recording_rest import (
    attended_json,
    missed_page_json,
    page_token,
    parse_page_token,
    parse_place_token,
    place_token,
    recording_json,
    recordings_page_json,
    usage_json,
    usage_page_json,
)
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN, Json
from sfu_wrapper.wire.strict_json import dump

MAX_SEGMENT = 999_999_999
MAX_PAGE = 500
EVER_MS = 253_402_300_800_000  # the year 10000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ALL = documented(400, 401, 406, 429, 500, 503)
_ONE = documented(400, 401, 404, 406, 429, 500, 503)
_RETRIED = documented(400, 401, 403, 404, 406, 409, 429, 500, 503)
_OPERATORS = documented(400, 401, 403, 406, 429, 500, 503)

UuidInPath = Annotated[str, Path(description="uuid of the room", pattern=UUID_PATTERN)]
SegmentInPath = Annotated[int, Path(description="number of the segment", ge=1, le=MAX_SEGMENT)]
_IdInQuery = Annotated[str | None, Query(pattern=ID_PATTERN, max_length=ID_LENGTH)]
_Participant = Annotated[
    str | None,
    Query(
        description="user that was in it: `me`, `USER` or `DOMAIN/USER`",
        pattern=PARTICIPANT_PATTERN,
        max_length=2 * ID_LENGTH + 1,
    ),
]
_Domain = Annotated[
    str | None,
    Query(
        description="domain of the room, and of `owner` and `participant`",
        pattern=ID_PATTERN,
        max_length=ID_LENGTH,
    ),
]
_DATE_TIME = {"format": "date-time"}
From = Annotated[
    str | None,
    Query(alias="from", description="started at or after it", json_schema_extra=_DATE_TIME),
]
To = Annotated[str | None, Query(description="started before it", json_schema_extra=_DATE_TIME)]
_Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="entries on one page")]
_After = Annotated[str | None, Query(pattern=PAGE_PATTERN, description="`next` of the page before")]
_AfterRoom = Annotated[
    str | None, Query(pattern=PLACE_PATTERN, description="`next` of the page before")
]
_EndedFrom = Annotated[
    str | None,
    Query(alias="from", description="ended at or after it", json_schema_extra=_DATE_TIME),
]
_EndedTo = Annotated[
    str | None,
    Query(description="ended before it, or goes on", json_schema_extra=_DATE_TIME),
]
_MissedLimit = Annotated[int, Query(ge=1, le=PAGE, description="calls on one page")]
_AfterOwner = Annotated[
    str | None,
    Query(
        pattern=OWNER_PATTERN,
        max_length=2 * ID_LENGTH + 1,
        description="`next` of the page before",
    ),
]


def recording_routes(
    recordings: RecordingQueries,
    retries: RecordingRetries,
    missed: MissedCalls,
    caller: AuthenticatedRequest,
) -> APIRouter:
    """Return the routes of the index."""
    router = APIRouter(tags=["recordings"])
    _list_route(router, recordings, caller)
    _missed_route(router, missed, caller)
    _usage_route(router, recordings, caller)
    _retry_route(router, retries, caller)

    @router.get("/recordings/{uuid}/{segment}", response_model=IndexedRecording, responses=_ONE)
    async def get_recording(
        by: Annotated[Identity, Depends(caller)], uuid: UuidInPath, segment: SegmentInPath
    ) -> Response:
        """Return a recording: your own; a domain-admin's domain's; for the service any."""
        return json_response(shown(recordings.view(requester(by), key_of(uuid, segment))))

    return router


def _list_route(
    router: APIRouter, recordings: RecordingQueries, caller: AuthenticatedRequest
) -> None:
    @router.get("/recordings", response_model=RecordingsPage, responses=_ALL)
    async def list_recordings(  # one argument for each parameter of the query
        by: Annotated[Identity, Depends(caller)],
        room: _IdInQuery = None,
        uuid: Annotated[str | None, Query(pattern=UUID_PATTERN)] = None,
        owner: _IdInQuery = None,
        participant: _Participant = None,
        domain: _Domain = None,
        state: RecordingState | None = None,
        from_: From = None,
        to: To = None,
        limit: _Limit = 50,
        after: _After = None,
    ) -> Response:
        """Recordings, the newest first: your own; a domain-admin's domain's; the service's: all.

        `participant=me`: those that you were in; without files and people where another owns them.
        """
        wanted = RecordingQuery(
            domain=None if domain is None else DomainId(domain),
            owner=None if owner is None else UserId(owner),
            room=None if room is None else RoomId(room),
            uuid=None if uuid is None else RoomUuid(uuid),
            state=state,
            from_ms=epoch_ms(from_, "from"),
            to_ms=epoch_ms(to, "to"),
            after=None if after is None else Position(*parse_page_token(after)),
            limit=limit,
        )
        return await _page(recordings.page(requester(by), wanted, participant))


async def _page(page: RecordingViews) -> Response:
    entries: list[Json] = []
    for each in page.recordings:
        entries.append(shown(each, listed=True))
        if len(entries) % SLICE == 0:
            await asyncio.sleep(0)  # a long page must not delay others
    last = page.next
    following = None if last is None else page_token(last.started_ms, last.key)
    return json_response(recordings_page_json(entries, following))


def _missed_route(router: APIRouter, missed: MissedCalls, caller: AuthenticatedRequest) -> None:
    @router.get("/recordings/missed", response_model=MissedCallsPage, responses=_OPERATORS)
    async def list_missed_calls(
        by: Annotated[Identity, Depends(caller)],
        from_: _EndedFrom = None,
        to: _EndedTo = None,
        limit: _MissedLimit = PAGE,
        after: _AfterRoom = None,
    ) -> Response:
        """Calls not recorded as was decided, with reasons: for domain-admin and service."""
        start_ms, end_ms = epoch_ms(from_, "from") or 0, epoch_ms(to, "to")
        end_ms = EVER_MS if end_ms is None else end_ms
        place = None if after is None else RoomPlace(*parse_place_token(after))
        page = await missed.page(requester(by), start_ms, end_ms, place, limit)
        last = page.next
        following = None
        if last is not None:
            following = place_token(last.at_ms, last.uuid, settled=last.settled)
        return json_response(missed_page_json(page.calls, following))


def _usage_route(
    router: APIRouter, recordings: RecordingQueries, caller: AuthenticatedRequest
) -> None:
    @router.get("/usage", response_model=UsagePage, responses=_OPERATORS)
    async def get_usage(
        by: Annotated[Identity, Depends(caller)],
        from_: From = None,
        to: To = None,
        limit: _Limit = MAX_PAGE,
        after: _AfterOwner = None,
    ) -> Response:
        """Return recordings, recorded seconds and bytes by owner: for domain-admin and service."""
        domain, _, user = (after or "").partition("/")
        place = None if after is None else UserKey(DomainId(domain), UserId(user))
        start_ms, end_ms = epoch_ms(from_, "from") or 0, epoch_ms(to, "to")
        end_ms = EVER_MS if end_ms is None else end_ms
        rows = recordings.usage(requester(by), start_ms, end_ms, place, limit)
        owners = [UserKey(row.domain, row.owner) for row in rows]
        shown = [
            usage_json(owner, row.recordings, row.recorded_ms, row.bytes)
            for owner, row in zip(owners, rows, strict=True)
        ]
        following = owners[-1] if len(rows) == limit else None
        return json_response(usage_page_json(shown, following))


def _retry_route(
    router: APIRouter, retries: RecordingRetries, caller: AuthenticatedRequest
) -> None:
    @router.post(
        "/recordings/{uuid}/{segment}/retry",
        status_code=HTTPStatus.ACCEPTED,
        response_model=IndexedRecording,
        responses=_RETRIED,
    )
    async def retry_recording(
        by: Annotated[Identity, Depends(caller)], uuid: UuidInPath, segment: SegmentInPath
    ) -> Response:
        """Hand a failed recording to the workers again: for domain-admin and service."""
        stored = await retries.retry(requester(by), key_of(uuid, segment))
        return Response(
            dump(recording_json(stored, None, None)), HTTPStatus.ACCEPTED, None, "application/json"
        )


def shown(view: RecordingView, *, listed: bool = False) -> Json:
    """Return a recording as JSON, as far as its requester may see it."""
    if view.attended_s is not None:
        return attended_json(view.recording, view.attended_s, view.expires_ms)
    return recording_json(view.recording, view.progress, view.expires_ms, listed=listed)


def key_of(uuid: str, segment: int) -> RecordingKey:
    """Return the address of a recording from its path."""
    return RecordingKey(RoomUuid(uuid), SegmentNo(segment))


def epoch_ms(text: str | None, name: str) -> int | None:
    """Return a time of the query as epoch ms.

    Raises:
        Refused: BAD_REQUEST: not an ISO 8601 time with a zone.
    """
    if text is None:
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError, TypeError):  # the last: it has no zone
        path = f"query.{name}"
        detail = f"{path} must be a time with its zone, such as 2026-12-01T09:00:00Z"
        raise Refused(Code.BAD_REQUEST, detail, path=path) from None


def json_response(body: Json) -> Response:
    """Return a body as a response."""
    return Response(dump(body), media_type="application/json")
