"""Webhook endpoints of domains: who sees and changes them, and what is delivered to them.

An administrator has those of its own domain; the room service may read those of any. Endpoints of
the configuration belong to no domain, and only its operator sees them (``sfu-wrapper webhooks``).
Changes are stored with their audit entries. Source: webhooks.md, "Over HTTP".
"""

import asyncio
import secrets
from typing import Any, Final, Protocol

from sfu_wrapper.core.access import require_may_change_webhooks, require_may_read_webhooks
from sfu_wrapper.core.webhooks import EventType, is_public, new_secret, parse_target
from sfu_wrapper.model.errors import Code, Malformed, Refused, Unavailable
from sfu_wrapper.model.identity import DomainId, Identity, UserKey
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.ports.webhooks import (
    DropEndpoint,
    PutEndpoint,
    SendAgain,
    SendTest,
    WebhookChange,
    WebhookStore,
)
from sfu_wrapper.service.recordings.audit import entry

MAX_IN_ALL: Final = 500  # endpoints of all domains: the dispatcher asks for each
STORE_S: Final = 5.0  # until a change must be stored
SECRET_BYTES: Final = 32
TEST_DATA: Final = b'{"test": true}'


class ChangesStore(Protocol):
    """The part of ``Store`` that this needs; commands have one without rooms."""

    @property
    def webhooks(self) -> WebhookStore:
        """See ``Store``."""
        ...

    def commit(self, commit: Commit, epoch: int) -> "asyncio.Future[Any]":
        """See ``Store``."""
        ...


class Webhooks:
    """Endpoints of domains and their deliveries.

    Args:
        store: where they are.
        clock: wall clock.
        max_endpoints: endpoints that one domain may have.
        allow_private: endpoints may have private addresses.
        epoch: epoch of the controller.
    """

    def __init__(
        self,
        store: ChangesStore,
        clock: Clock,
        *,
        max_endpoints: int = 10,
        allow_private: bool = False,
        epoch: int = 1,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_endpoints = max_endpoints
        self._allow_private = allow_private
        self._epoch = epoch
        self._creating = asyncio.Lock()  # so that the number is right

    def listing(self, by: Identity, domain: DomainId | None) -> tuple[Endpoint, ...]:
        """Return the endpoints of a domain, of the requester's own if None.

        Raises:
            Refused: FORBIDDEN or NOT_FOUND.
        """
        wanted = domain or by.domain
        require_may_read_webhooks(by, wanted)
        return tuple(each for each in self._store.webhooks.endpoints() if each.domain == wanted)

    async def create(self, by: Identity, url: str, types: tuple[EventType, ...]) -> Endpoint:
        """Create an endpoint of the requester's domain, with a secret of its own.

        Raises:
            Refused: FORBIDDEN, or QUOTA_EXCEEDED.
            Malformed: the address cannot be used.
            Unavailable: the outcome is unknown.
        """
        require_may_change_webhooks(by, by.domain)
        self._check_url(url)
        async with self._creating:
            self._require_place(by.domain)
            now_ms = self._clock.now().wall_ms
            made = Endpoint(
                id="wh_" + secrets.token_hex(12),
                domain=by.domain,
                url=url,
                secrets=(new_secret(secrets.token_bytes(SECRET_BYTES)),),
                types=tuple(dict.fromkeys(str(each) for each in types)),
                created_ms=now_ms,
            )
            await self._change(by, "webhook.create", made, PutEndpoint(made))
        return made

    async def delete(self, by: Identity, id_: str) -> None:
        """Remove an endpoint with its deliveries.

        Raises:
            Refused: FORBIDDEN or NOT_FOUND.
            Unavailable: the outcome is unknown.
        """
        found = self._changeable(by, id_)
        await self._change(by, "webhook.delete", found, DropEndpoint(id_))

    def deliveries(
        self,
        by: Identity,
        id_: str,
        state: DeliveryState | None,
        before_seq: int | None,
        limit: int,
    ) -> tuple[Delivery, ...]:
        """Return deliveries of an endpoint, newest first.

        Raises:
            Refused: FORBIDDEN or NOT_FOUND.
        """
        self._readable(by, id_)
        return self._store.webhooks.deliveries(id_, state, before_seq, limit)

    async def retry(self, by: Identity, id_: str, delivery: str) -> Delivery:
        """Make a delivery due now.

        Raises:
            Refused: FORBIDDEN or NOT_FOUND.
            Unavailable: the outcome is unknown.
        """
        found = self._changeable(by, id_)
        self._delivery(id_, delivery)
        again = SendAgain(id_, delivery, self._clock.now().wall_ms)
        await self._change(by, "webhook.retry", found, again)
        return self._delivery(id_, delivery)

    async def test(self, by: Identity, id_: str) -> Delivery:
        """Send a test to an endpoint; returns its delivery, which is made soon.

        Raises:
            Refused: FORBIDDEN or NOT_FOUND.
            Unavailable: the outcome is unknown.
        """
        found = self._changeable(by, id_)
        message_id = "msg_" + secrets.token_hex(16)
        now_ms = self._clock.now().wall_ms
        test = SendTest(id_, message_id, by.domain, now_ms, TEST_DATA)
        await self._change(by, "webhook.test", found, test)
        return self._delivery(id_, message_id)

    def _readable(self, by: Identity, id_: str) -> Endpoint:
        found = self._store.webhooks.endpoint(id_)
        require_may_read_webhooks(by, None if found is None else found.domain)
        if found is None or found.domain is None:
            raise _not_found("webhook")
        return found

    def _changeable(self, by: Identity, id_: str) -> Endpoint:
        found = self._store.webhooks.endpoint(id_)
        require_may_change_webhooks(by, None if found is None else found.domain)
        if found is None:
            raise _not_found("webhook")
        return found

    def _delivery(self, id_: str, delivery: str) -> Delivery:
        found = self._store.webhooks.delivery(id_, delivery)
        if found is None:
            raise _not_found("delivery")
        return found

    def _check_url(self, url: str) -> None:
        """Refuse what can never be requested; names are checked when they are resolved."""
        try:
            host = parse_target(url).host
        except ValueError as error:
            raise Malformed(f"url {error}", path="url") from error
        literal = ":" in host or host.replace(".", "").isdigit()
        if literal and not self._allow_private and not is_public(host):
            raise Malformed("url must have a public address", path="url")

    def _require_place(self, domain: DomainId) -> None:
        endpoints = self._store.webhooks.endpoints()
        own = sum(each.domain == domain for each in endpoints)
        if own >= self._max_endpoints or len(endpoints) >= MAX_IN_ALL:
            detail = f"the domain has {own} webhooks, as many as it may have: delete one first"
            raise Refused(Code.QUOTA_EXCEEDED, detail, limit=self._max_endpoints)

    async def _change(
        self, by: Identity, action: str, about: Endpoint, change: WebhookChange
    ) -> None:
        commit = audited(by.key, self._clock.now().wall_ms, action, about, change)
        await stored(self._store, commit, self._epoch)


def audited(
    by: UserKey, now_ms: int, action: str, about: Endpoint, change: WebhookChange
) -> Commit:
    """Return a change with its audit entry, in the chain of the endpoint's or user's domain."""
    noted = entry(now_ms, by, about.domain or by.domain, action, about.id)
    return Commit(webhooks=(change,), audit=(noted,))


async def stored(store: ChangesStore, commit: Commit, epoch: int) -> None:
    """Write a commit. Raises Unavailable if it is not on disk in time."""
    try:
        async with asyncio.timeout(STORE_S):
            await asyncio.shield(store.commit(commit, epoch))
    except TimeoutError:
        raise Unavailable("the store cannot be written in time; look before trying again") from None


def _not_found(what: str) -> Refused:
    return Refused(Code.NOT_FOUND, f"{what} not found")
