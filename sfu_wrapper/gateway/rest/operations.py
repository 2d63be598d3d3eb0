"""Health and metrics: for whoever runs this, without a token, so without anybody's name."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from sfu_wrapper.gateway.limits import TokenBucket
from sfu_wrapper.observe.health import Health, Readiness, Status
from sfu_wrapper.observe.metrics import Metrics
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.rest import HealthModel, Json, LiveModel
from sfu_wrapper.wire.strict_json import dump, iso

_UNREADY: dict[int | str, dict[str, object]] = {
    503: {"description": "Send nobody here: the store is lost, or it drains", "model": HealthModel}
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
    """The routes of those who watch over this."""
    router = APIRouter(tags=["operations"])
    scrapes = _Scrapes(metrics, clock)

    @router.get("/health/live", response_model=LiveModel)
    async def get_live() -> Response:
        """The process turns; anything else is not its restart's business."""
        return Response(dump({"status": "ok"}), media_type="application/json")

    @router.get("/health/ready", response_model=HealthModel, responses=_UNREADY)
    async def get_ready() -> Response:
        """Whether to send anybody here, and what is away."""
        readiness = health.readiness()
        status = 503 if readiness.status is Status.UNAVAILABLE else 200
        return Response(dump(readiness_json(readiness)), status, media_type="application/json")

    @router.get("/metrics", response_class=PlainTextResponse)
    async def get_metrics(request: Request) -> Response:
        """All numbers, for Prometheus; in OpenMetrics where that is asked for."""
        content_type, body = scrapes.answer(request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    return router


def readiness_json(readiness: Readiness) -> Json:
    """How all parts are."""
    parts = {
        name: {"state": "ok" if part.there else "away", "since": iso(part.since_ms)}
        for name, part in readiness.parts.items()
    }
    return {"status": readiness.status, "draining": readiness.draining, "parts": parts}
