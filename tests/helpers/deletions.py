"""A worker that deletes: real folders and marks, media tools that pretend, a broker in memory."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders
from sfu_wrapper.adapters.storage.removal import LocalRemoval
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.recording import DeletionReason, DeletionRequest, RecordingKey
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.ports.objects import ObjectStore
from sfu_wrapper.ports.storage import ObjectRemoval
from sfu_wrapper.service.worker.deleting import Deleter, DeletionSettings, Publish
from sfu_wrapper.service.worker.obstacles import WorkerMonitor
from sfu_wrapper.service.worker.scheduling import Holder, WorkerSettings
from sfu_wrapper.service.worker.uploading import UploadedFiles, Uploads
from sfu_wrapper.service.worker.worker import Worker
from sfu_wrapper.wire.deletion_messages import DELETED, REQUESTED, encode_request, request_id
from tests.helpers.clocks import Ahead
from tests.helpers.processor_place import INFO, RULES, Place
from tests.helpers.worker_bench import QUEUES, Reports, event

REQUESTED_MS = INFO.completed_ms + 1000


class Scene:
    """Folders of a worker, with what happened to them.

    Attributes:
        place: raw files of ``INFO``, and a processor.
        logs: folder of the logs of recordings.
        broker: the broker; its ``published`` are all messages.
        monitor: what the worker reports to health.
        objects: removes from an object store; None: ``store``, if there is one.
        store: object store that finished files go to; None: they stay.
        rules: rules for finished files.
    """

    def __init__(self, root: Path, *, clean: bool = True) -> None:
        self.place = Place(root)
        self.logs = root / "logs"
        self.logs.mkdir()
        self.broker = MemoryBroker()
        self.leases = MemoryLeases()
        self.clock = Ahead()
        self.monitor = Reports()
        self.objects: ObjectRemoval | None = None
        self.store: ObjectStore | None = None
        self.rules = RULES
        self.settings = WorkerSettings(retry=Retry(attempts=1), clean_raw=clean)
        folders = Folders(self.place.raw, self.place.raw, self.place.out, root / "plain")
        self.removal = LocalRemoval(folders, self.logs)

    def worker(self, **changed: Any) -> Worker:  # noqa: ANN401 fields of the settings
        """Return a worker on these folders."""

        store = self.store
        uploaded = None if store is None else UploadedFiles(store, self.removal.name_below)

        def deleter(holder: Holder, publish: Publish, monitor: WorkerMonitor) -> Deleter:
            return Deleter(
                self.removal,
                self.removal,
                self.objects or uploaded,
                holder,
                publish,
                self.clock,
                DeletionSettings(**changed),
                monitor,
            )

        url = None if store is None else store.url
        encryptor = self.place.encryptor if self.rules.encrypt else None
        processing = self.place.processor(self.rules, encryptor, store_url=url)
        queues = (*QUEUES, QueueSpec("deletion_queue", (REQUESTED,)))
        return Worker(
            self.broker,
            self.leases,
            processing,
            self.clock,
            queues,
            self.settings,
            self.monitor,
            deleter,
            None if store is None else Uploads(store, self.place.storage),
        )

    async def process(self, info: SegmentInfo = INFO) -> None:
        """Let a worker process a segment, and make the log that it would have."""
        await self.publish(event(info))
        await self.worker().run_once()
        (self.logs / f"{info.uuid}-{info.segment}.log").write_text("a line\n")

    async def delete(self, number: int = 1, **changed: Any) -> None:  # noqa: ANN401 fields of the request
        """Request a deletion and let a worker work until nothing waits."""
        await self.request(number, **changed)
        await self.worker().run_once()

    async def request(self, number: int = 1, **changed: Any) -> None:  # noqa: ANN401 fields of the request
        """Put a request into the queue."""
        request = replace(order(number), **changed)
        await self.publish(Message(REQUESTED, request_id(request), encode_request(request), "room"))

    async def publish(self, message: Message) -> None:
        """Publish, with the queues declared."""
        await self.broker.open((*QUEUES, QueueSpec("deletion_queue", (REQUESTED,))))
        await self.broker.publish(message)

    def deleted(self) -> list[Message]:
        """Return the ``deleted`` messages, repeats included."""
        return [one for one in self.broker.published if one.routing_key == DELETED]

    def processed(self) -> list[dict[str, Any]]:
        """Return the ``processed`` messages, repeats included."""
        found = [one for one in self.broker.published if one.routing_key == "processed"]
        return [json.loads(one.body) for one in found]

    def left(self) -> set[str]:
        """Return all files of recordings: finished, raw, temporary, manifests, names, logs."""
        places = [self.place.out, self.place.raw, self.logs, self.place.raw.parent / "plain"]
        return {
            str(path.relative_to(self.place.raw.parent))
            for place in places
            for path in place.rglob("*")
            if path.is_file() and not path.is_relative_to(self.marks)
        }

    @property
    def marks(self) -> Path:
        """Folder of the marks of deleted recordings."""
        return self.place.out / HIDDEN / "deleted"


def order(number: int = 1) -> DeletionRequest:
    """Return the request to delete a segment of ``INFO``'s room."""
    key = RecordingKey(INFO.uuid, SegmentNo(number))
    return DeletionRequest(key, INFO.room, DeletionReason.REQUESTED, REQUESTED_MS)


def other(number: int = 2) -> SegmentInfo:
    """Return another segment of the same room, with raw files of its own."""
    video = tuple(replace(file, filename=f"{number}-{file.filename}") for file in INFO.video)
    audio = tuple(replace(file, filename=f"{number}-{file.filename}") for file in INFO.audio)
    return replace(INFO, segment=SegmentNo(number), video=video, audio=audio)
