"""Translation of errors of the AMQP library; no message contains a URL with a password."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError

from sfu_wrapper.model.errors import Unavailable

FOREIGN = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate errors of the library.

    Args:
        doing: the operation, for the message of the error.

    Raises:
        Unavailable: the operation failed, or its result is unknown; ``context["unroutable"]`` is
            True if a mandatory message found no queue.
    """
    try:
        yield
    except PublishError as exc:
        raise Unavailable(f"{doing}: no queue is bound", unroutable=True) from exc
    except DeliveryError as exc:
        raise Unavailable(f"{doing}: the broker refused to keep it") from exc
    except TimeoutError as exc:
        raise Unavailable(f"{doing}: no answer from the broker in time") from exc
    except FOREIGN as exc:
        raise Unavailable(f"{doing}: {_text(exc)}") from exc
    except asyncio.CancelledError as exc:
        # When it loses a connection, the library cancels the tasks that wait for it.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"{doing}: the connection was lost") from exc


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__} {exc}".strip()
