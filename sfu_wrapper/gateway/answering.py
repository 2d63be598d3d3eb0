"""One message, one response: what becomes of it on every kind of connection.

What it asks, and who may, is decided by whoever carries it out; here is only the order of things,
and that nothing which goes wrong leaves a request without an answer.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from uuid import uuid4

from sfu_wrapper.gateway.limits import TokenBucket
from sfu_wrapper.model.errors import (
    Broken,
    Code,
    Malformed,
    RecordingError,
    Refused,
    Unavailable,
)
from sfu_wrapper.wire.signaling import Unanswerable

log = logging.getLogger(__name__)

Limited = Callable[[], RecordingError | None]
"""Counts one message; what to answer where there were too many."""

Refuse = Callable[[str | None, str | None, RecordingError], None]
"""Answers a request, by its endpoint and id as far as they are known, with an error."""


class Asked(Protocol):
    """A readable request."""

    @property
    def endpoint(self) -> str:
        """What is asked for."""
        ...

    @property
    def id(self) -> str:
        """What its response is known by."""
        ...


Request = TypeVar("Request", bound=Asked)


def answer(
    message: str,
    parse: Callable[[str], Request],
    limited: Limited,
    carry_out: Callable[[Request], None],
    refuse: Refuse,
) -> None:
    """Have one message answered, now or later; one that asks for too much is not even tried.

    carry_out: answers by itself, or raises Refused, Malformed or Unavailable.

    Raises:
        NotJson: it is no JSON; nothing was sent.
    """
    try:
        request = parse(message)
    except Unanswerable as exc:
        refuse(exc.endpoint, exc.id, limited() or exc)
        return
    too_many = limited()
    if too_many is not None:
        refuse(request.endpoint, request.id, too_many)
        return
    try:
        carry_out(request)
    except (Refused, Malformed, Unavailable) as exc:
        refuse(request.endpoint, request.id, exc)
    except Exception as bug:  # it must cost neither this client nor its neighbours their link
        refuse(request.endpoint, request.id, _own_up(request, bug))


def too_many(buckets: Sequence[TokenBucket], now_ms: int) -> Refused | None:
    """Take a token out of each; none where one of them is empty."""
    wait_ms = max(bucket.wait_ms(now_ms) for bucket in buckets)
    if wait_ms > 0:
        retry_after = math.ceil(wait_ms) / 1000
        detail = "too many requests; wait a little"
        return Refused(Code.RATE_LIMITED, detail, retryAfter=retry_after)
    for bucket in buckets:
        bucket.take()
    return None


def _own_up(request: Asked, bug: Exception) -> Broken:
    """Say that it is our fault, and where in the log it stands."""
    incident = uuid4().hex
    extra = {"incident": incident, "endpoint": request.endpoint}
    log.error("gateway.request.broke", extra=extra, exc_info=bug)
    return Broken("something went wrong on our side", incident=incident)
