"""Where the errors of the AMQP library end. No text here holds an address with a password."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError

from sfu_wrapper.model.errors import Unavailable

FOREIGN = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the library raises into ours.

    Raises:
        Unavailable: not done, or not known to be done; ``context["unroutable"]`` is True where a
            mandatory message found no queue.
    """
    try:
        yield
    except PublishError as exc:
        raise Unavailable(f"{doing}: no queue takes it", unroutable=True) from exc
    except DeliveryError as exc:
        raise Unavailable(f"{doing}: the broker refused to keep it") from exc
    except TimeoutError as exc:
        raise Unavailable(f"{doing}: no answer from the broker in time") from exc
    except FOREIGN as exc:
        raise Unavailable(f"{doing}: {_text(exc)}") from exc
    except asyncio.CancelledError as exc:
        # The library cancels what waits on a connection that it loses.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"{doing}: the connection was lost") from exc


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__} {exc}".strip()
