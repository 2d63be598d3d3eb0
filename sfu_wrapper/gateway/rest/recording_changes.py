"""Routes that change recordings: holds, deletions, erasures, and the retention of a domain.

Each route reads the request, calls ``service.recordings``, which decides, and writes the answer. A
body is read only after it is known that the requester may change the object at all.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from sfu_wrapper.core.access import requester
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest, JsonBodies
from sfu_wrapper.gateway.rest.permissions import DomainInPath
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.gateway.rest.recordings import SegmentInPath, UuidInPath, key_of
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.identity import DomainId, Identity
from sfu_wrapper.model.recording import RecordingState
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.erasures import Erasures
from sfu_wrapper.wire.recording_changes import (
    DeletionAnswer,
    ErasureAnswer,
    ErasureBody,
    HoldAnswer,
    HoldBody,
    RetentionBody,
    erasure_json,
    hold_json,
    parse_erasure,
    parse_hold,
    parse_retention,
    requested_json,
)
from sfu_wrapper.wire.rest import Json
from sfu_wrapper.wire.strict_json import dump

Responses = dict[int | str, dict[str, object]]

_ANY = (400, 401, 403, 404, 406, 429, 500, 503)
_READ = documented(*_ANY)
_WRITTEN = documented(*_ANY, 408, 413, 415)
_CHANGED = documented(*_ANY, 408, 409, 413, 415)
_GONE = HTTPStatus.NO_CONTENT


def _body_of(model: type[HoldBody | RetentionBody | ErasureBody]) -> Json:
    """Return the description of a request's body."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def change_routes(
    changes: RecordingChanges,
    erasures: Erasures,
    caller: AuthenticatedRequest,
    settings: HttpSettings,
) -> APIRouter:
    """Return the routes that change recordings and their retention."""
    router = APIRouter(tags=["recordings"])
    bodies = JsonBodies(settings)
    _hold_routes(router, changes, caller, bodies)
    _deletion_route(router, changes, caller)
    _erasure_route(router, erasures, caller, bodies)
    _retention_routes(router, changes, caller, bodies)
    return router


def _answer(body: Json, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(dump(body), status, media_type="application/json")


def _hold_routes(
    router: APIRouter, changes: RecordingChanges, caller: AuthenticatedRequest, bodies: JsonBodies
) -> None:
    path = "/recordings/{uuid}/{segment}/hold"

    @router.put(
        path, response_model=HoldAnswer, responses=_CHANGED, openapi_extra=_body_of(HoldBody)
    )
    async def put_hold(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        uuid: UuidInPath,
        segment: SegmentInPath,
    ) -> Response:
        """Set a legal hold: for a domain-admin. A held recording is not deleted by anything."""
        who, key = requester(by), key_of(uuid, segment)
        changes.require_may_hold(who, key)
        reason = parse_hold(await bodies.read(request, by.key))
        held = await changes.hold(who, key, reason)
        return _answer(hold_json(held.hold, held.facts.domain) if held.hold else {})

    @router.delete(path, status_code=_GONE, responses=documented(*_ANY, 409))
    async def delete_hold(
        by: Annotated[Identity, Depends(caller)], uuid: UuidInPath, segment: SegmentInPath
    ) -> Response:
        """Remove a legal hold: for a domain-admin. An overdue recording is deleted soon after."""
        await changes.release(requester(by), key_of(uuid, segment))
        return Response(status_code=_GONE)


def _deletion_route(
    router: APIRouter, changes: RecordingChanges, caller: AuthenticatedRequest
) -> None:
    deleted: Responses = {204: {"description": "Deleted already"}}

    @router.delete(
        "/recordings/{uuid}/{segment}",
        status_code=HTTPStatus.ACCEPTED,
        response_model=DeletionAnswer,
        responses=documented(*_ANY, 409) | deleted,
    )
    async def delete_recording(
        by: Annotated[Identity, Depends(caller)], uuid: UuidInPath, segment: SegmentInPath
    ) -> Response:
        """Delete a recording: for a domain-admin; its owner with recordings.ownerMayDelete.

        202: the workers remove its files; its state becomes `deleted` when they are gone, and until
        then it has a `deletion`, and no files.
        """
        found = await changes.delete(requester(by), key_of(uuid, segment))
        if found.state is RecordingState.DELETED:
            return Response(status_code=_GONE)
        return _answer(requested_json(found), HTTPStatus.ACCEPTED)


def _erasure_route(
    router: APIRouter, erasures: Erasures, caller: AuthenticatedRequest, bodies: JsonBodies
) -> None:
    accepted: Responses = {202: {"description": "Being deleted", "model": ErasureAnswer}}

    @router.post(
        "/erasures",
        response_model=ErasureAnswer,
        responses=documented(400, 401, 403, 406, 408, 409, 413, 415, 429, 500, 503) | accepted,
        openapi_extra=_body_of(ErasureBody),
    )
    async def post_erasure(request: Request, by: Annotated[Identity, Depends(caller)]) -> Response:
        """Erase one person from your domain: for a domain-admin.

        Without `confirm` a preview of what would be deleted (owned, took part in). With `confirm`
        and the `count` of the preview it is done. Held and running recordings stay.
        """
        who = requester(by)
        erasures.require_may_erase(who)
        user, count = parse_erasure(await bodies.read(request, by.key), by.domain)
        confirmed = count is not None
        done = await (
            erasures.preview(who, user) if count is None else erasures.erase(who, user, count)
        )
        found = (done.count, done.recordings, done.held, done.running)
        body = erasure_json(user, by.domain, *found, confirmed=confirmed)
        return _answer(body, HTTPStatus.ACCEPTED if confirmed else HTTPStatus.OK)


def _retention_routes(
    router: APIRouter, changes: RecordingChanges, caller: AuthenticatedRequest, bodies: JsonBodies
) -> None:
    path = "/retention/domain/{id}"
    created: Responses = {
        201: {"description": "Stored; there was none before", "model": RetentionBody}
    }

    @router.get(path, response_model=RetentionBody, responses=_READ)
    async def get_retention(
        by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """Days for which a domain keeps recordings: for its domain-admin, and the service."""
        return _answer({"days": changes.days_of(requester(by), DomainId(domain))})

    @router.put(
        path,
        response_model=RetentionBody,
        responses=_WRITTEN | created,
        openapi_extra=_body_of(RetentionBody),
    )
    async def put_retention(
        request: Request, by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """Set them: for its domain-admin, up to `retention.maxDays`."""
        who, of = requester(by), DomainId(domain)
        changes.require_may_set_days(who, of)
        days = parse_retention(await bodies.read(request, by.key))
        fresh = await changes.set_days(who, of, days)
        return _answer({"days": days}, HTTPStatus.CREATED if fresh else HTTPStatus.OK)

    @router.delete(path, status_code=_GONE, responses=_READ)
    async def delete_retention(
        by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """Remove them, so that the system's configuration counts: for its domain-admin."""
        await changes.remove_days(requester(by), DomainId(domain))
        return Response(status_code=_GONE)
