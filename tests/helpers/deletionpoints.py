"""A worker that is to delete one of two recordings, and dies at a chosen file operation.

The template is made once by a real run: both recordings are processed, their raw files stay, each
has a log. ``reset`` copies it, and puts the request into the queue.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.recording import DeletionReason, DeletionRequest, RecordingKey
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.wire.deletion_messages import DELETED, REQUESTED, encode_request, request_id
from tests.helpers.deathpoints import QUEUES, Installation, Point, publish, record

KEY = RecordingKey(RoomUuid("uuid"), SegmentNo(1))
REQUEST = DeletionRequest(KEY, RoomId("room"), DeletionReason.REQUESTED, 1_795_484_900_000)
ALL_QUEUES = (
    *QUEUES,
    QueueSpec("deletion_queue", (REQUESTED,)),
    QueueSpec("deleted_queue", (DELETED,)),
)


class Deletion(Installation):
    """Folders with two recordings, of which the first is to be deleted."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, None, CLEAN_TEMPORARY_FILES="false", **settings)
        self.template = folder.with_name("template")
        more = (folder / "raw", folder / "raw-audio", folder / "logs")
        self._watched = (*self._watched, *map(str, more))

    async def prepare(self) -> None:
        """Make the template."""
        event = record(self.folder / "raw", self.folder / "raw-audio")
        (self.folder / "state").mkdir()
        await publish(self.folder, event)
        for name in ("raw/a.mjr", "raw-audio/mix.wav"):
            file = self.folder / name
            shutil.copy(file, file.with_name(f"2{file.name}"))
        await publish(self.folder, _second(event))
        assert (await asyncio.to_thread(self._run)).returncode == 0
        shutil.rmtree(self.folder / "state")
        self.folder.rename(self.template)

    async def reset(self) -> None:
        """Return to the template, with the request in the queue."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        (self.folder / "state").mkdir()
        broker = QueueFile(self.folder / "state" / "queue.db")
        await broker.open(ALL_QUEUES)
        await broker.publish(
            Message(REQUESTED, request_id(REQUEST), encode_request(REQUEST), "room")
        )
        await broker.close()

    def files(self) -> set[str]:
        """Return all files of recordings, without those about the deletion itself."""
        folders = ("out", "raw", "raw-audio", "logs")
        found = (path for name in folders for path in (self.folder / name).rglob("*"))
        names = {str(path.relative_to(self.folder)) for path in found if path.is_file()}
        own = ("/.sfu-wrapper/deleting/", "/.sfu-wrapper/deleted/")
        return {name for name in names if not any(folder in name for folder in own)}

    async def waiting(self) -> int:
        """Return the number of requests that were not acknowledged."""
        broker = QueueFile(self.folder / "state" / "queue.db")
        await broker.open(ALL_QUEUES)
        depth = await broker.depth("deletion_queue")
        await broker.close()
        return depth

    async def reported(self) -> list[dict[str, Any]]:
        """Return the ``deleted`` messages, repeats dropped."""
        broker = QueueFile(self.folder / "state" / "queue.db")
        await broker.open(ALL_QUEUES)
        left = await broker.depth("deleted_queue")
        deliveries = broker.consume("deleted_queue", 100)
        seen: dict[str | None, dict[str, Any]] = {}
        for _ in range(left):
            delivery = await anext(deliveries)
            body = json.loads(delivery.body)
            assert seen.setdefault(delivery.message_id, body) == body, "a repeat says the same"
        await deliveries.aclose()
        await broker.close()
        return list(seen.values())

    async def strike_deletion(self, point: Point, whole: set[str], kept: set[str]) -> bool:
        """Die there and come back. Returns True if the worker died there.

        Args:
            point: where to die.
            whole: files before the deletion.
            kept: files of the other recording.
        """
        await self.reset()
        struck = self.die_at(point)
        await self.complete(f"{point}", whole, kept)
        return struck

    async def complete(self, point: str, whole: set[str], kept: set[str]) -> None:
        """Come back after a death at that point, and compare; see ``strike_deletion``."""
        assert kept <= self.files() <= whole, f"{point} harmed another recording"
        for _ in range(3):  # the queue may notice only then that the dead one holds its message
            await asyncio.to_thread(self.resume)
            if not await self.waiting():
                break
        assert self.files() == kept, f"after {point} files are left"
        assert await self.waiting() == 0, f"after {point} the request is still there"
        assert len(await self.reported()) == 1, f"after {point} it was not reported once"
        assert not list(self.out.rglob("*.order")), f"{point} left an order"

    async def deliver_again(self) -> None:
        """Put the event of the deleted recording into its queue, with its raw files there."""
        shutil.copy(self.folder / "raw" / "2a.mjr", self.folder / "raw" / "a.mjr")
        (self.folder / "raw-audio").mkdir(exist_ok=True)
        shutil.copy(self.folder / "raw-audio" / "2mix.wav", self.folder / "raw-audio" / "mix.wav")
        scratch = self.folder / "scratch"
        await publish(self.folder, record(scratch / "raw", scratch / "audio"))
        shutil.rmtree(scratch)


def _second(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event of the second segment, with raw files of its own."""
    text = json.dumps(event).replace('"a.mjr"', '"2a.mjr"').replace('"mix.wav"', '"2mix.wav"')
    second: dict[str, Any] = json.loads(text)
    second["recordingInfo"]["segment"] = 2
    return second
