"""Feed of the index: messages of the recording service, from their queue into the store.

In:  deliveries of ``processed``, ``failed`` and ``deleted`` from the queue that all controllers
     share, and ``progress`` from the notices of this controller.
Out: one commit for each message that is news, with the event for webhooks; ``core.recordings``
     decides if it is.

Rules
    1. A message is acknowledged after its commit. One that arrives twice changes nothing the second
       time, so that it does not matter where the process dies.
    2. The queue keeps messages while no controller runs. So rooms get results from here too
       (``news``), before the commit of the index: the store writes both in this order.
    3. A message that cannot be read, or is about a recording that is not in the index, is logged
       and acknowledged: it would be no better the next time.
    4. At most ``PREFETCH`` messages are held. While the store cannot be written they go back to the
       queue, each after a pause.

Source: recording-index.md, "How it is fed".
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from sfu_wrapper.core.recordings import Message, apply
from sfu_wrapper.model.errors import Malformed, RecordingError, Unavailable
from sfu_wrapper.model.recording import Deleted, Recording, RecordingKey, RecordingState
from sfu_wrapper.model.segment import JobProgress
from sfu_wrapper.ports.broker import Broker, Delivery, ReceivedMessage
from sfu_wrapper.ports.recordings import PutRecording, RecordingIndex
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.deletion_commits import Committer, deleted_entry
from sfu_wrapper.service.rooms.job_results import read_news
from sfu_wrapper.wire.deletion_messages import DELETED, parse_deletion
from sfu_wrapper.wire.recording_events import missed_media_event, recording_event

PREFETCH: Final = 64  # messages held; their commits share transactions
RETURN_S: Final = 1.0  # until a message goes back to the queue
RETRY_S: Final = 0.2  # until consuming is tried again while the broker is not open
WORN: Final = 20  # deliveries of a message that meets a bug of ours, before it is dropped
MARKS: Final = 1_000  # recordings whose first progress is being written

log = logging.getLogger(__name__)


class IndexFeed:
    """Consumer of the index queue.

    Args:
        broker: source of the messages; the relay opens it.
        queue: name of the queue.
        index: the recordings, for reading.
        committer: writes the changes.
        clock: wall clock.
        news: takes results for rooms and clients; repeats are no news to it.
    """

    def __init__(
        self,
        broker: Broker,
        queue: str,
        index: RecordingIndex,
        committer: Committer,
        clock: Clock,
        news: Callable[[ReceivedMessage], None],
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._index = index
        self._committer = committer
        self._clock = clock
        self._news = news
        self._marks: set[RecordingKey] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Consume until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                async with aclosing(self._broker.consume(self._queue, PREFETCH)) as deliveries:
                    async for delivery in deliveries:
                        group.create_task(self._handle(delivery))
                await asyncio.sleep(RETRY_S)

    def progressed(self, progress: JobProgress) -> None:
        """Note that a recording is being processed; only the first progress is written."""
        key = RecordingKey(progress.uuid, progress.segment)
        if self._group is None or key in self._marks or len(self._marks) >= MARKS:
            return  # the next progress is a second away
        with suppress(RecordingError):
            known = self._index.recording(key)
            if known is not None and known.state is RecordingState.QUEUED:
                self._marks.add(key)
                self._group.create_task(self._mark(key, progress))

    async def _mark(self, key: RecordingKey, progress: JobProgress) -> None:
        try:
            await self._apply(key, progress)
        except RecordingError as error:
            log.debug("index.progressNotStored", extra={"error": error.detail})
        except Exception:
            log.exception("index.failed", extra={"recording": str(key)})
        finally:
            self._marks.discard(key)

    async def _handle(self, delivery: Delivery) -> None:
        """Handle one message until it is acknowledged or returned."""
        try:
            await self._take(delivery)
        except Unavailable as error:
            log.warning("index.notStored", extra=_what(delivery) | {"error": error.detail})
            await self._give_back(delivery)
        except RecordingError as error:
            log.warning("index.unreadable", extra=_what(delivery) | {"error": error.detail})
            await _acknowledge(delivery)
        except Exception:  # one message must not end the others
            log.exception("index.failed", extra=_what(delivery))
            if delivery.deliveries < WORN:
                await self._give_back(delivery)
            else:
                await _acknowledge(delivery)
        else:
            await _acknowledge(delivery)

    async def _give_back(self, delivery: Delivery) -> None:
        await asyncio.sleep(RETURN_S)  # the disk is away: no busy loop
        with suppress(Unavailable):
            await delivery.requeue()

    async def _take(self, delivery: Delivery) -> None:
        """Apply one message. Raises Malformed, Unavailable, Broken."""
        if delivery.routing_key == DELETED:
            report = parse_deletion(delivery.body)
            if not isinstance(report, Deleted):
                raise Malformed("not a report of a deletion, but a request for one")
            await self._apply(report.key, report)
            return
        received = ReceivedMessage(delivery.routing_key, delivery.message_id, delivery.body)
        outcome = read_news(received)
        self._news(received)
        await self._apply(RecordingKey(outcome.uuid, outcome.segment), outcome)

    async def _apply(self, key: RecordingKey, message: Message) -> None:
        """Write what a message changes. Raises Unavailable, Broken."""

        def make() -> Commit | None:
            known = self._index.recording(key)
            if known is None:
                log.info("index.unknown", extra={"recording": str(key)})
                return None
            changed = apply(known, message, self._clock.now().wall_ms)
            return None if changed is known else self._commit(known, changed)

        await self._committer.write_changed(key, make)

    def _commit(self, known: Recording, changed: Recording) -> Commit:
        change = PutRecording(changed)
        if changed.state is known.state:
            return Commit(recordings=(change,))
        what = {"recording": str(changed.key), "state": changed.state.value}
        log.info("recording.changed", extra=what)
        now_ms = self._clock.now().wall_ms
        found = [recording_event(changed, now_ms)]
        if changed.state in (RecordingState.READY, RecordingState.FAILED):
            found.append(missed_media_event(changed, now_ms))
        events = tuple(each for each in found if each is not None)
        is_deleted = changed.state is RecordingState.DELETED
        audit = (deleted_entry(changed, now_ms),) if is_deleted else ()
        return Commit(recordings=(change,), events=events, audit=audit)


def _what(delivery: Delivery) -> dict[str, object]:
    return {"message_id": delivery.message_id, "key": delivery.routing_key}


async def _acknowledge(delivery: Delivery) -> None:
    with suppress(Unavailable):  # it is delivered again, and is no news then
        await delivery.ack()
