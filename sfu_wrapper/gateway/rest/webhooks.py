"""``/webhooks``: the endpoints of a domain, their deliveries, and tests of them.

Each route reads the request, calls ``service.recordings.webhooks``, which decides, and writes the
response.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from sfu_wrapper.core.access import require_may_change_webhooks
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest, JsonBodies
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.identity import DomainId, Identity
from sfu_wrapper.model.webhook import Delivery, DeliveryState
from sfu_wrapper.service.recordings.webhooks import Webhooks
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN, Json
from sfu_wrapper.wire.strict_json import dump
from sfu_wrapper.wire.webhooks import (
    CURSOR_MAX,
    CreatedWebhook,
    DeliveryModel,
    DeliveryPage,
    WebhookList,
    created_json,
    delivery_json,
    parse_webhook,
    webhook_json,
    webhook_schema,
)

_ANY = documented(400, 401, 403, 404, 406, 429, 500, 503)
_CREATED = documented(400, 401, 403, 406, 408, 413, 415, 429, 500, 503)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": webhook_schema()}},
    }
}
_Webhook = Annotated[
    str, Path(alias="id", description="webhook id", pattern=ID_PATTERN, max_length=ID_LENGTH)
]
_Delivery = Annotated[
    str, Path(description="`webhook-id` of the delivery", pattern=ID_PATTERN, max_length=ID_LENGTH)
]
_Domain = Annotated[
    str | None,
    Query(description="domain; left out: your own", pattern=ID_PATTERN, max_length=ID_LENGTH),
]
_State = Annotated[DeliveryState | None, Query(description="only deliveries in this state")]
_Limit = Annotated[int, Query(ge=1, le=500, description="deliveries on one page")]
_After = Annotated[int | None, Query(ge=0, le=CURSOR_MAX, description="`next` of the page before")]


def webhook_routes(
    webhooks: Webhooks, caller: AuthenticatedRequest, settings: HttpSettings
) -> APIRouter:
    """Return the routes of webhooks."""
    router = APIRouter(tags=["webhooks"])
    _endpoint_routes(router, webhooks, caller, JsonBodies(settings))
    _delivery_routes(router, webhooks, caller)
    return router


def _endpoint_routes(
    router: APIRouter, webhooks: Webhooks, caller: AuthenticatedRequest, bodies: JsonBodies
) -> None:
    @router.get("/webhooks", response_model=WebhookList, responses=_ANY)
    async def list_webhooks(
        by: Annotated[Identity, Depends(caller)], domain: _Domain = None
    ) -> Response:
        """The webhooks of a domain: for its domain-admin, and the service."""
        found = webhooks.listing(by, None if domain is None else DomainId(domain))
        return _json({"webhooks": [webhook_json(each) for each in found]})

    @router.post(
        "/webhooks",
        response_model=CreatedWebhook,
        status_code=HTTPStatus.CREATED,
        responses=_CREATED,
        openapi_extra=_BODY,
    )
    async def create_webhook(
        request: Request, by: Annotated[Identity, Depends(caller)]
    ) -> Response:
        """Create a webhook of your domain: for its domain-admin. The secret is shown this once."""
        require_may_change_webhooks(by, by.domain)  # before the body is even read
        given = parse_webhook(await bodies.read(request, by.key))
        made = await webhooks.create(by, given.url, given.types)
        return _json(created_json(made), HTTPStatus.CREATED)

    @router.delete("/webhooks/{id}", status_code=HTTPStatus.NO_CONTENT, responses=_ANY)
    async def delete_webhook(
        by: Annotated[Identity, Depends(caller)], webhook: _Webhook
    ) -> Response:
        """Delete a webhook with its deliveries: for the domain-admin."""
        await webhooks.delete(by, webhook)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _delivery_routes(router: APIRouter, webhooks: Webhooks, caller: AuthenticatedRequest) -> None:
    @router.get("/webhooks/{id}/deliveries", response_model=DeliveryPage, responses=_ANY)
    async def list_deliveries(
        by: Annotated[Identity, Depends(caller)],
        webhook: _Webhook,
        state: _State = None,
        limit: _Limit = 50,
        after: _After = None,
    ) -> Response:
        """Return deliveries of a webhook, newest first: for the domain-admin, and the service."""
        found = webhooks.deliveries(by, webhook, state, after, limit)
        following = found[-1].seq if len(found) == limit else None
        return _json({"deliveries": [delivery_json(each) for each in found], "next": following})

    @router.post(
        "/webhooks/{id}/deliveries/{delivery}/retry", response_model=DeliveryModel, responses=_ANY
    )
    async def retry_delivery(
        by: Annotated[Identity, Depends(caller)], webhook: _Webhook, delivery: _Delivery
    ) -> Response:
        """Send a delivery again, with the same `webhook-id`: for the domain-admin."""
        return _shown(await webhooks.retry(by, webhook, delivery))

    @router.post("/webhooks/{id}/test", response_model=DeliveryModel, responses=_ANY)
    async def test_webhook(by: Annotated[Identity, Depends(caller)], webhook: _Webhook) -> Response:
        """Send `webhook.test`: for the domain-admin. The deliveries have the result."""
        return _shown(await webhooks.test(by, webhook))


def _shown(delivery: Delivery) -> Response:
    return _json(delivery_json(delivery))


def _json(body: Json, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(dump(body), status, media_type="application/json")
