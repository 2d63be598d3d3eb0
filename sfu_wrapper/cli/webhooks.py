"""``sfu-wrapper webhooks``: list endpoints and their deliveries, test them, and send again.

Opens the configured store directly, with or without a running controller: access to its file
replaces the token, and endpoints of the configuration are shown too. A controller that runs makes
requested deliveries within a second; otherwise the next one that starts does.
"""

import asyncio
import secrets
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.webhooks import WebhookFile
from sfu_wrapper.cli import common
from sfu_wrapper.model.errors import Code, Misconfigured, Refused
from sfu_wrapper.model.identity import UserId, UserKey
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.webhooks import SendAgain, SendTest, WebhookChange
from sfu_wrapper.service.recordings.audit import NO_DOMAIN
from sfu_wrapper.service.recordings.webhooks import TEST_DATA, audited, stored
from sfu_wrapper.wire.webhooks import delivery_json, webhook_json

_OPERATOR: Final = UserId("operator")
_WAIT_S: Final = 20.0  # for the result: an attempt takes at most 15 s
_LOOK_S: Final = 0.1


def add_arguments(parser: ArgumentParser) -> None:
    """Add the four actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    texts = {
        "list": "print the endpoints",
        "deliveries": "print the latest deliveries of an endpoint",
        "test": "send a test to an endpoint and wait for the result",
        "retry": "send a delivery again and wait for the result",
    }
    made = {}
    for (name, text), action in zip(
        texts.items(), (_list, _deliveries, _test, _retry), strict=True
    ):
        made[name] = inner = actions.add_parser(name, help=text, description=text)
        common.add_common(inner)
        inner.set_defaults(action=action)
        if name != "list":
            inner.add_argument("webhook", metavar="WEBHOOK", help="id of the endpoint")
    made["list"].add_argument("--domain", metavar="D", help="only those of one domain")
    made["retry"].add_argument("delivery", metavar="DELIVERY", help="webhook-id of the delivery")
    made["deliveries"].add_argument("--last", metavar="N", type=int, default=50, help="how many")
    made["deliveries"].add_argument(
        "--state", choices=list(DeliveryState), type=DeliveryState, help="only those in this state"
    )


def run(args: Namespace) -> int:
    """Run the action.

    Raises:
        Misconfigured: there is no store.
        Refused: there is no such endpoint or delivery.
        Unavailable: the store cannot be read or written.
    """
    file = common.configured(args).settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: this version keeps webhooks in sqlite:<file> only")
    with WebhookFile(file) as store:
        return int(args.action(args, store))


def _list(args: Namespace, store: WebhookFile) -> int:
    found = [each for each in store.webhooks.endpoints() if args.domain in (None, each.domain)]
    rows = [
        (each.id, each.domain or "all", each.url, " ".join(each.types) or "all", _state(each))
        for each in found
    ]
    shown = [webhook_json(each) | {"domain": each.domain} for each in found]
    _print(args, ("webhook", "domain", "url", "types", "state"), rows, shown)
    return common.DONE


def _deliveries(args: Namespace, store: WebhookFile) -> int:
    _endpoint(store, args.webhook)
    found = store.webhooks.deliveries(args.webhook, args.state, limit=max(args.last, 1))
    _print_deliveries(args, found)
    return common.DONE


def _test(args: Namespace, store: WebhookFile) -> int:
    about = _endpoint(store, args.webhook)
    message_id = "msg_" + secrets.token_hex(16)
    now_ms = SystemClock().now().wall_ms
    test = SendTest(about.id, message_id, about.domain or NO_DOMAIN, now_ms, TEST_DATA)
    return asyncio.run(_send(args, store, "webhook.test", about, message_id, test))


def _retry(args: Namespace, store: WebhookFile) -> int:
    about = _endpoint(store, args.webhook)
    if store.webhooks.delivery(about.id, args.delivery) is None:
        raise Refused(Code.NOT_FOUND, f"delivery {args.delivery} not found")
    again = SendAgain(about.id, args.delivery, SystemClock().now().wall_ms)
    return asyncio.run(_send(args, store, "webhook.retry", about, args.delivery, again))


async def _send(
    args: Namespace,
    store: WebhookFile,
    action: str,
    about: Endpoint,
    message_id: str,
    change: WebhookChange,
) -> int:
    """Request a delivery, wait for its next attempt, and print what came of it."""
    by = UserKey(about.domain or NO_DOMAIN, _OPERATOR)
    await stored(store, audited(by, SystemClock().now().wall_ms, action, about, change), 0)
    before = store.webhooks.delivery(about.id, message_id)
    until_s = time.monotonic() + _WAIT_S
    after = before
    while after == before and time.monotonic() < until_s:
        await asyncio.sleep(_LOOK_S)
        after = store.webhooks.delivery(about.id, message_id)
    if after is None or after == before:
        text = "not sent yet: a controller sends it once it runs"
        common.emit(args, text, id=message_id, state=DeliveryState.PENDING, message=text)
        return common.TRY_AGAIN
    _print_deliveries(args, [after])
    return common.DONE if after.state is DeliveryState.DELIVERED else common.FAILED


def _endpoint(store: WebhookFile, id_: str) -> Endpoint:
    found = store.webhooks.endpoint(id_)
    if found is None:
        raise Refused(Code.NOT_FOUND, f"webhook {id_} not found: sfu-wrapper webhooks list")
    return found


def _state(endpoint: Endpoint) -> str:
    return "enabled" if endpoint.disabled is None else f"disabled: {endpoint.disabled}"


def _print_deliveries(args: Namespace, found: Sequence[Delivery]) -> None:
    shown = [delivery_json(each) for each in found]
    rows = [
        (
            each.id,
            each.type,
            each.subject,
            each.state,
            str(each.attempts),
            str(facts["nextAttemptAt"] or facts["finishedAt"]),
            each.error or ("" if each.status is None else f"HTTP {each.status}"),
        )
        for each, facts in zip(found, shown, strict=True)
    ]
    columns = ("delivery", "type", "subject", "state", "attempts", "next or last", "result")
    _print(args, columns, rows, shown)


def _print(
    args: Namespace,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[dict[str, object]],
) -> None:
    """Print a table, or one JSON object a row with ``--json``."""
    if common.wants_json(args):
        for each in shown:
            common.emit(args, "", **each)
        return
    common.print_table(columns, rows)
