"""Bindings of the exchange, as the management API of RabbitMQ lists them: AMQP cannot.

The API belongs to a plugin, so that it may be missing, and refuses users without the tag
``management``. It is requested once, as the broker's user, from the broker's host, never through a
proxy. The queues of notices (``subscription``) are left out: they end with their connections.
"""

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from urllib.request import BaseHandler, HTTPSHandler, ProxyHandler

from aio_pika.connection import make_url

from sfu_wrapper.adapters.http_fetch import Fetch, fetch
from sfu_wrapper.adapters.rabbitmq.subscription import LISTENER
from sfu_wrapper.model.errors import Unavailable

_PORTS: Final = {"amqp": ("http", 15672), "amqps": ("https", 15671)}
_MAX_BYTES: Final = 4 * 1024 * 1024  # about 20,000 bindings


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """A binding of a queue to the exchange."""

    queue: str
    routing_key: str


def address(broker: str, configured: str | None) -> str:
    """Return the address of the API, without user and password.

    Args:
        broker: address of the broker.
        configured: its address where it is not the usual one.
    """
    if configured is not None:
        return configured.rstrip("/")
    url = make_url(broker)
    scheme, port = _PORTS[url.scheme]
    return f"{scheme}://{url.host_subcomponent or 'localhost'}:{port}"


def virtual_host(broker: str) -> str:
    """Return the virtual host that an address of a broker names."""
    return make_url(broker).path[1:] or "/"


async def bindings(broker: str, configured: str | None, exchange: str) -> list[Binding]:
    """Return the bindings of all queues to the exchange, sorted; empty without that exchange.

    Args:
        broker: address of the broker, with its user.
        configured: address of the API where it is not the usual one.
        exchange: name of the exchange.

    Raises:
        Unavailable: no plugin, no answer in time, or a user without the right.
    """
    where = address(broker, configured)
    names = (quote(name, safe="") for name in (virtual_host(broker), exchange))
    url = "{}/api/exchanges/{}/{}/bindings/source".format(where, *names)
    headers = {"Authorization": _authorization(broker)}
    request = Fetch(url, max_bytes=_MAX_BYTES, headers=headers, handlers=_handlers(broker))
    return sorted(_read(await fetch(where, request), where))


def _read(body: bytes, where: str) -> Iterator[Binding]:
    """Yield the bindings of queues. Raises Unavailable where it is another API that responded."""
    try:
        for each in json.loads(body):
            queue, key = str(each["destination"]), str(each["routing_key"])
            if each["destination_type"] == "queue" and not queue.startswith(f"{LISTENER}."):
                yield Binding(queue, key)
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"{where} sends no list of bindings") from error


def _authorization(broker: str) -> str:
    """Return the login; clients of RabbitMQ take a user that is missing for guest."""
    url = make_url(broker)
    login = f"{url.user or 'guest'}:{url.password or 'guest'}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _handlers(broker: str) -> tuple[BaseHandler, ...]:
    """Verify the server as the connection to the broker does, by the same parameters."""
    given = make_url(broker).query
    context = ssl.create_default_context(cafile=given.get("cafile"), capath=given.get("capath"))
    if "cadata" in given:
        context.load_verify_locations(cadata=base64.b64decode(given["cadata"]))
    if given.get("no_verify_ssl", "0") != "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return ProxyHandler({}), HTTPSHandler(context=context)
