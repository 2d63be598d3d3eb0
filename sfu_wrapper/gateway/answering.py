"""One message, one response: the order of things on every kind of connection.

    size       by the link, before a message comes here
    limiter    counts the message before anything is parsed
    envelope   endpoint and id, within limits on the structure of the JSON
    identity   by ``carry_out``, before it looks at the payload
    payload    by ``carry_out``

Each step costs more than the one before, so that a message that is refused has cost little. Nothing
that goes wrong leaves a request without an answer.
"""

import logging
import math
from collections.abc import Callable, Sequence
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
from sfu_wrapper.wire.envelope import Envelope, Unanswerable, peek

log = logging.getLogger(__name__)

Limited = Callable[[], RecordingError | None]
"""Counts one message; what to answer where there were too many."""

Refuse = Callable[[str | None, str | None, RecordingError], None]
"""Answers a request, by its endpoint and id as far as they are known, with an error."""


def answer(
    message: str,
    limited: Limited,
    open_message: Callable[[str], Envelope],
    carry_out: Callable[[Envelope], None],
    refuse: Refuse,
) -> None:
    """Have one message answered, now or later; one that asks for too much is not even parsed.

    Args:
        message: The message as received, within the size that its sender may send.
        limited: Counts the message.
        open_message: Reads endpoint and id, or raises NotJson or Unanswerable.
        carry_out: Answers by itself, or raises Refused, Malformed, Unavailable or Unanswerable.
        refuse: Sends an error.

    Raises:
        NotJson: it is no JSON; nothing was sent.
    """
    too_many = limited()
    if too_many is not None:
        refuse(*peek(message), too_many)
        return
    try:
        envelope = open_message(message)
    except Unanswerable as exc:
        refuse(exc.endpoint, exc.id, exc)
        return
    try:
        carry_out(envelope)
    except Unanswerable as exc:
        refuse(exc.endpoint, exc.id, exc)
    except (Refused, Malformed, Unavailable) as exc:
        refuse(envelope.endpoint, envelope.id, exc)
    except Exception as bug:  # it must cost neither this client nor its neighbours their link
        refuse(envelope.endpoint, envelope.id, _own_up(envelope, bug))


def is_longer(text: str, limit: int) -> bool:
    """Return True if a text has more than ``limit`` bytes in UTF-8."""
    if len(text) > limit or text.isascii():
        return len(text) > limit
    return len(text.encode(errors="surrogatepass")) > limit


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


def _own_up(request: Envelope, bug: Exception) -> Broken:
    """Say that it is our fault, and where in the log it stands."""
    incident = uuid4().hex
    extra = {"incident": incident, "endpoint": request.endpoint}
    log.error("gateway.request.broke", extra=extra, exc_info=bug)
    return Broken("something went wrong on our side", incident=incident)
