"""``/permissions``: those of the requester, of a domain and of its users, and the effective ones.

Each route reads the request, calls ``service.rooms.permissions``, which decides, and writes the
response. ``If-Match`` and ``If-None-Match`` (RFC 9110, 13) compare the entity tag of the stored
permission, which consists of its two fields.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from sfu_wrapper.core.access import Subject, require_may_write
from sfu_wrapper.gateway.rest.conditions import names_tag
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest, JsonBodies
from sfu_wrapper.gateway.rest.problems import HttpRefused, documented
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.identity import DomainId, Identity, RecordingPermissions, UserId, UserKey
from sfu_wrapper.service.recordings.dry_runs import DryRuns
from sfu_wrapper.service.recordings.room_walk import RoomPlace
from sfu_wrapper.service.rooms.permissions import Permissions
from sfu_wrapper.wire.dry_runs import DryRunAnswer, dry_run_schema, judged_json, parse_dry_run
from sfu_wrapper.wire.recording_rest import parse_place_token, place_token
from sfu_wrapper.wire.rest import (
    ID_LENGTH,
    ID_PATTERN,
    Effective,
    Json,
    PermissionBody,
    effective_json,
    parse_permission,
    permission_json,
)
from sfu_wrapper.wire.strict_json import dump


def tag(permission: RecordingPermissions) -> str:
    """Return the ``ETag`` of a stored permission."""
    return f'"{permission.recording_type}.{permission.recording_profile}"'


def unchanged(request: Request, permission: RecordingPermissions) -> bool:
    """Return True if the client has this permission already (304)."""
    given = request.headers.getlist("if-none-match")
    return names_tag(given, tag(permission), weakly=True) is True


def require_match(request: Request, stored: RecordingPermissions | None) -> None:
    """Check the condition of a write.

    Raises:
        HttpRefused: 412; the condition does not hold.
    """
    stored_tag = None if stored is None else tag(stored)
    wanted = names_tag(request.headers.getlist("if-match"), stored_tag, weakly=False)
    unwanted = names_tag(request.headers.getlist("if-none-match"), stored_tag, weakly=True)
    if wanted is False or unwanted is True:
        detail = "what is stored is not what the condition says; read it again"
        raise HttpRefused(HTTPStatus.PRECONDITION_FAILED, detail)


_ANY = (400, 401, 403, 404, 406, 429, 500, 503)
_WRITTEN = documented(*_ANY, 408, 412, 413, 415) | {
    201: {"description": "Stored; there was none before", "model": PermissionBody}
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/PermissionBody"}}
        },
    }
}
_DRY_RUN: Json = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": dry_run_schema()}},
    }
}
_READ = documented(*_ANY) | {304: {"description": "Unchanged, as `If-None-Match` says"}}
_DELETED = documented(*_ANY, 412)
_GONE = HTTPStatus.NO_CONTENT

DomainInPath = Annotated[
    str, Path(alias="id", description="domain id", pattern=ID_PATTERN, max_length=ID_LENGTH)
]
UserInPath = Annotated[str, Path(description="user id", pattern=ID_PATTERN, max_length=ID_LENGTH)]
_UserInQuery = Annotated[
    str | None,
    Query(description="about whom; yourself if left out", pattern=ID_PATTERN, max_length=ID_LENGTH),
]
_DomainInQuery = Annotated[
    str | None,
    Query(description="the user's; your own if left out", pattern=ID_PATTERN, max_length=ID_LENGTH),
]


def permission_routes(
    permissions: Permissions,
    dry_runs: DryRuns,
    caller: AuthenticatedRequest,
    settings: HttpSettings,
) -> APIRouter:
    """Return the routes of permissions."""
    router = APIRouter(tags=["permissions"])
    door = PermissionHandlers(permissions, settings)
    _effective_route(router, permissions, caller)
    _own_routes(router, door, caller)
    _domain_routes(router, door, caller)
    _user_routes(router, door, caller)
    _dry_run_route(router, dry_runs, caller, JsonBodies(settings))
    return router


def _dry_run_route(
    router: APIRouter, dry_runs: DryRuns, caller: AuthenticatedRequest, bodies: JsonBodies
) -> None:
    @router.post(
        "/permissions/dry-run",
        response_model=DryRunAnswer,
        responses=documented(*_ANY, 408, 413, 415),
        openapi_extra=_DRY_RUN,
    )
    async def try_permission(
        request: Request, by: Annotated[Identity, Depends(caller)]
    ) -> Response:
        """Calls of the last days that a changed permission decides otherwise: for domain-admin."""
        require_may_write(by, Subject(by.domain))  # before the body is even read
        change, days, token = parse_dry_run(await bodies.read(request, by.key), by.domain)
        after = None if token is None else RoomPlace(*parse_place_token(token))
        page = await dry_runs.page(by, change, days, after)
        body: Json = {"judged": page.judged, "calls": list(map(judged_json, page.calls))}
        if (last := page.next) is not None:
            body["next"] = place_token(last.at_ms, last.uuid, settled=last.settled)
        return Response(dump(body), media_type="application/json")


class PermissionHandlers:
    """Handlers shared by the three kinds of subjects. about: None for the requester."""

    def __init__(self, permissions: Permissions, settings: HttpSettings) -> None:
        self._permissions = permissions
        self._bodies = JsonBodies(settings)

    def get(self, request: Request, by: Identity, about: Subject | None) -> Response:
        stored = self._permissions.get(by, about)
        if unchanged(request, stored):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag(stored)})
        return _shown(stored, HTTPStatus.OK)

    async def put(self, request: Request, by: Identity, about: Subject | None) -> Response:
        self._permissions.require_may_write(by, about)  # before the body is even read
        given = parse_permission(await self._bodies.read(request, by.key))
        fresh = await self._permissions.put(
            by, about, given, lambda stored: require_match(request, stored)
        )
        return _shown(given, HTTPStatus.CREATED if fresh else HTTPStatus.OK)

    async def delete(self, request: Request, by: Identity, about: Subject | None) -> Response:
        await self._permissions.delete(by, about, lambda stored: require_match(request, stored))
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _shown(permission: RecordingPermissions, status: HTTPStatus) -> Response:
    body = dump(permission_json(permission))
    return Response(body, status, {"ETag": tag(permission)}, "application/json")


def _effective_route(
    router: APIRouter, permissions: Permissions, caller: AuthenticatedRequest
) -> None:
    @router.get("/permissions/effective", response_model=Effective, responses=documented(*_ANY))
    async def get_effective_permission(
        by: Annotated[Identity, Depends(caller)],
        user: _UserInQuery = None,
        domain: _DomainInQuery = None,
    ) -> Response:
        """Return the permission in effect for you, or (domain-admin, service) for a user."""
        whom = UserKey(DomainId(domain or by.domain), UserId(user or by.user))
        body = dump(effective_json(whom, permissions.effective(by, whom)))
        return Response(body, media_type="application/json")


def _own_routes(router: APIRouter, door: PermissionHandlers, caller: AuthenticatedRequest) -> None:
    @router.get("/permissions", response_model=PermissionBody, responses=_READ)
    async def get_own_permission(
        request: Request, by: Annotated[Identity, Depends(caller)]
    ) -> Response:
        """Your own permission. 404 where you have none of your own."""
        return door.get(request, by, None)

    @router.put(
        "/permissions", response_model=PermissionBody, responses=_WRITTEN, openapi_extra=_BODY
    )
    async def put_own_permission(
        request: Request, by: Annotated[Identity, Depends(caller)]
    ) -> Response:
        """Set your own, both fields. Only where users may write (permissions.userMayWrite)."""
        return await door.put(request, by, None)

    @router.delete("/permissions", status_code=_GONE, responses=_DELETED)
    async def delete_own_permission(
        request: Request, by: Annotated[Identity, Depends(caller)]
    ) -> Response:
        """Delete your own, so that your domain's counts."""
        return await door.delete(request, by, None)


def _domain_routes(
    router: APIRouter, door: PermissionHandlers, caller: AuthenticatedRequest
) -> None:
    path = "/permissions/domain/{id}"

    @router.get(path, response_model=PermissionBody, responses=_READ)
    async def get_domain_permission(
        request: Request, by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """The permission of a domain: for its domain-admin, and the service."""
        return door.get(request, by, Subject(DomainId(domain)))

    @router.put(path, response_model=PermissionBody, responses=_WRITTEN, openapi_extra=_BODY)
    async def put_domain_permission(
        request: Request, by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """Set it, both fields: for its domain-admin. It counts for users without their own."""
        return await door.put(request, by, Subject(DomainId(domain)))

    @router.delete(path, status_code=_GONE, responses=_DELETED)
    async def delete_domain_permission(
        request: Request, by: Annotated[Identity, Depends(caller)], domain: DomainInPath
    ) -> Response:
        """Delete it, so that the system's configuration counts: for its domain-admin."""
        return await door.delete(request, by, Subject(DomainId(domain)))


def _user_routes(router: APIRouter, door: PermissionHandlers, caller: AuthenticatedRequest) -> None:
    path = "/permissions/domain/{id}/user/{user}"

    @router.get(path, response_model=PermissionBody, responses=_READ)
    async def get_user_permission(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        domain: DomainInPath,
        user: UserInPath,
    ) -> Response:
        """The permission of a user: for its domain-admin, and the service."""
        return door.get(request, by, Subject(DomainId(domain), UserId(user)))

    @router.put(path, response_model=PermissionBody, responses=_WRITTEN, openapi_extra=_BODY)
    async def put_user_permission(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        domain: DomainInPath,
        user: UserInPath,
    ) -> Response:
        """Set it, both fields: for its domain-admin. It counts before the domain's."""
        return await door.put(request, by, Subject(DomainId(domain), UserId(user)))

    @router.delete(path, status_code=_GONE, responses=_DELETED)
    async def delete_user_permission(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        domain: DomainInPath,
        user: UserInPath,
    ) -> Response:
        """Delete it, so that the domain's counts: for its domain-admin."""
        return await door.delete(request, by, Subject(DomainId(domain), UserId(user)))
