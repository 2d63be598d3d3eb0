"""REST application: all routes, their errors, and their description (OpenAPI 3.1).

Health and metrics are for operators: they need no token, and show no name of a user or room.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from sfu_wrapper import __version__
from sfu_wrapper.gateway.auth import Authenticator
from sfu_wrapper.gateway.callpage.page import PageSettings, call_routes
from sfu_wrapper.gateway.console.page import console_routes
from sfu_wrapper.gateway.limits import Limits, TokenBucket
from sfu_wrapper.gateway.rest.audit import audit_routes
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest
from sfu_wrapper.gateway.rest.evidence import evidence_routes
from sfu_wrapper.gateway.rest.files import file_routes
from sfu_wrapper.gateway.rest.permissions import permission_routes
from sfu_wrapper.gateway.rest.problems import HttpRefused, internal, respond
from sfu_wrapper.gateway.rest.recording_changes import change_routes
from sfu_wrapper.gateway.rest.recordings import recording_routes
from sfu_wrapper.gateway.rest.rooms import room_routes
from sfu_wrapper.gateway.rest.webhooks import webhook_routes
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.gateway.webfiles import asset_routes, read_files
from sfu_wrapper.model.errors import Code, RecordingError, Refused
from sfu_wrapper.observe.metrics import Health, Metrics, Readiness, Status
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.dry_runs import DryRuns
from sfu_wrapper.service.recordings.erasures import Erasures
from sfu_wrapper.service.recordings.evidence import RecordingEvidence
from sfu_wrapper.service.recordings.files import RecordingDownloads
from sfu_wrapper.service.recordings.missed import MissedCalls
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.service.recordings.retries import RecordingRetries
from sfu_wrapper.service.recordings.webhooks import Webhooks
from sfu_wrapper.service.rooms.permissions import Permissions
from sfu_wrapper.service.rooms.room_queries import RoomQueries
from sfu_wrapper.wire.asyncapi import BrokerNames, asyncapi
from sfu_wrapper.wire.rest import (
    ID_LENGTH,
    ID_PATTERN,
    HealthModel,
    Json,
    LiveModel,
    problem_schema,
)
from sfu_wrapper.wire.strict_json import dump, iso

_UNREADY: dict[int | str, dict[str, object]] = {
    503: {
        "description": "Route no clients here: the store is lost, or the controller drains",
        "model": HealthModel,
    }
}

RENDERINGS_A_SECOND = 1
_RENDERINGS_AT_ONCE = 5  # after a while without any


class _Scrapes:
    """Metrics as text, rendered a bounded number of times a second.

    Scrapes beyond that share the last rendering, which is at most a second old, in its format.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._renderings = TokenBucket(RENDERINGS_A_SECOND, _RENDERINGS_AT_ONCE)
        self._last: tuple[str, bytes] | None = None

    def answer(self, accept: str | None) -> tuple[str, bytes]:
        """Return content type and body."""
        if self._last is None or self._renderings.wait_ms(self._clock.now().mono_ms) == 0:
            self._renderings.take()
            self._last = self._metrics.render(accept)
        return self._last


def operation_routes(health: Health, metrics: Metrics, clock: Clock) -> APIRouter:
    """Return the routes for operators."""
    router = APIRouter(tags=["operations"])
    scrapes = _Scrapes(metrics, clock)

    @router.get("/health/live", response_model=LiveModel)
    async def get_live() -> Response:
        """Return ok: the event loop runs, so the process needs no restart."""
        return Response(dump({"status": "ok"}), media_type="application/json")

    @router.get("/health/ready", response_model=HealthModel, responses=_UNREADY)
    async def get_ready() -> Response:
        """Return the readiness for clients, and the state of each part."""
        readiness = health.readiness()
        status = 503 if readiness.status is Status.UNAVAILABLE else 200
        return Response(dump(readiness_json(readiness)), status, media_type="application/json")

    @router.get("/metrics", response_class=PlainTextResponse)
    async def get_metrics(request: Request) -> Response:
        """Return all metrics for Prometheus; as OpenMetrics if requested."""
        content_type, body = scrapes.answer(request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    return router


def readiness_json(readiness: Readiness) -> Json:
    """Return the readiness and the state of each part as JSON."""
    parts = {
        name: {"state": "ok" if part.there else "away", "since": iso(part.since_ms)}
        | ({"detail": part.detail} if part.detail else {})
        for name, part in readiness.parts.items()
    }
    return {"status": readiness.status, "draining": readiness.draining, "parts": parts}


_ABOUT = "Permissions, rooms and recordings of the recording side of a WebRTC calling platform."


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """Parts that the routes of recordings use."""

    queries: RecordingQueries
    downloads: RecordingDownloads
    retries: RecordingRetries
    changes: RecordingChanges
    erasures: Erasures
    missed: MissedCalls
    dry_runs: DryRuns
    public_url: str | None = None


@dataclass(frozen=True, slots=True)
class RestParts:
    """Parts that the routes use."""

    permissions: Permissions
    rooms: RoomQueries
    recordings: RecordingParts
    authenticator: Authenticator
    clock: Clock
    limits: Limits
    health: Health
    metrics: Metrics
    audit: Audit
    webhooks: Webhooks
    pages: PageSettings = field(default_factory=PageSettings)
    broker_names: BrokerNames = field(default_factory=lambda: BrokerNames("", {}))


class RestApp(FastAPI):
    """Application with one form of each address: no redirects, no pages of the framework."""

    def __init__(self, *routers: APIRouter) -> None:
        super().__init__(
            title="sfu-wrapper",
            version=__version__,
            description=_ABOUT,
            openapi_url=None,  # the framework would render the description for each request
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            separate_input_output_schemas=False,
            generate_unique_id_function=lambda route: route.name,
        )
        self._routers = routers
        for router in self._routers:
            self.include_router(router)
        self.add_route("/openapi.json", document(self.openapi), include_in_schema=False)
        self.add_exception_handler(RecordingError, _refused)
        self.add_exception_handler(RequestValidationError, _wrong_parameter)
        self.add_exception_handler(HTTPException, self._not_routed)
        self.add_exception_handler(Exception, _on_bug)

    def openapi(self) -> dict[str, Any]:
        """Return the description, without the framework's own response to wrong parameters."""
        if self.openapi_schema is None:
            schema = super().openapi()
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            components = schema["components"]["schemas"]
            components.pop("HTTPValidationError", None)
            components.pop("ValidationError", None)
            problem = problem_schema()
            components |= problem.pop("$defs")
            components["Problem"] = problem
        return self.openapi_schema or {}

    async def _not_routed(self, request: Request, error: Exception) -> Response:
        """Return the response to an unknown route (404) or method (405)."""
        status = HTTPStatus.METHOD_NOT_ALLOWED
        if isinstance(error, HTTPException) and error.status_code == status:
            allow = ", ".join(sorted(self._methods(request)))
            detail = f"this endpoint has {allow}"
            return respond(HttpRefused(status, detail, Code.UNKNOWN_ENDPOINT, Allow=allow))
        return respond(Refused(Code.UNKNOWN_ENDPOINT, "unknown endpoint"))

    def _methods(self, request: Request) -> set[str]:
        """Return all methods of a path; the framework has those of one route only."""
        found: set[str] = set()
        for route in chain(self.routes, *(router.routes for router in self._routers)):
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
                found |= route.methods or set()
        return found | ({"HEAD"} if "GET" in found else set())


def document(build: Callable[[], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that responds with a document, built at the first request."""
    written = cache(lambda: dump(build()))

    async def respond_document(_: Request) -> Response:
        return Response(written(), media_type="application/json")

    return respond_document


def controller_app(settings: HttpSettings, parts: RestParts) -> RestApp:
    """Return the application of a controller."""
    caller = AuthenticatedRequest(parts.authenticator, parts.clock, parts.limits, parts.audit)
    found = parts.recordings
    app = RestApp(
        permission_routes(parts.permissions, found.dry_runs, caller, settings),
        room_routes(parts.rooms, caller),
        audit_routes(parts.audit, caller),
        recording_routes(found.queries, found.retries, found.missed, caller),
        change_routes(found.changes, found.erasures, caller, settings),
        file_routes(found.downloads, caller, settings, found.public_url),
        evidence_routes(RecordingEvidence(found.queries, parts.audit), caller, found.public_url),
        webhook_routes(parts.webhooks, caller, settings),
        operation_routes(parts.health, parts.metrics, parts.clock),
        call_routes(parts.pages, parts.clock),
        console_routes(parts.pages, parts.clock),
        asset_routes("client", read_files("sfu_wrapper.gateway.client")),
    )

    described = document(lambda: asyncapi(__version__, parts.broker_names))
    app.add_route("/asyncapi.json", described, include_in_schema=False)

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, RecordingError):
            caller.refused(request, error.code)
        return await _refused(request, error)

    app.add_exception_handler(RecordingError, refused)
    return app


async def _refused(_: Request, error: Exception) -> Response:
    return respond(error) if isinstance(error, RecordingError) else internal(error)


async def _wrong_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # the type that it is set for
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    why = f"is wrong: {first['msg']}"
    if ID_PATTERN in (first.get("ctx") or {}).values() or first["type"] == "string_too_long":
        why = f"must be 1 to {ID_LENGTH} characters of A-Z a-z 0-9 . _ @ + : -, not . or .. alone"
    return respond(Refused(Code.BAD_REQUEST, f"{path} {why}", path=path))


async def _on_bug(_: Request, error: Exception) -> Response:
    return internal(error)
