"""A segment recorded in a live controller, and what the recording service would tell of it."""

import asyncio
import json

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.ports.broker import Message
from tests.helpers.calls import Call, call
from tests.helpers.live import Json, Live, Peer

DONE = {
    "conferenceId": "conf",
    "status": "processed",
    "output": "merged",
    "startTime": "2026-11-24T01:47:56.573Z",
    "stopTime": "2026-11-24T01:48:03.817Z",
    "encrypted": False,
    "files": [{"filename": "/out/rec-1.webm", "kind": "merged", "bytes": 205221, "sha256": "c0b3"}],
    "processing": {
        "started": "2026-11-24T04:13:15.704Z",
        "completed": "2026-11-24T04:13:22.866Z",
        "attempts": 1,
    },
}
ERROR = {"stage": "preprocess", "code": "MISSING_FILE", "message": "a.mjr does not exist"}
LOST = {"conferenceId": "conf", "status": "failed", "error": ERROR, "attempts": 1}


async def publish(broker: MemoryBroker, key: str, body: Json, uuid: str = "call") -> None:
    """As the recording service does, of segment 1 where the body names no other."""
    whole = {"uuid": uuid, "segment": 1} | body
    message_id = f"{uuid}:{whole['segment']}:{key}"
    await broker.publish(Message(key, message_id, json.dumps(whole).encode()))


async def progress(broker: MemoryBroker, percent: float) -> None:
    """As the recording service does, of segment 1."""
    body = {"type": "progress", "stage": "compose", "percent": percent, "etaSeconds": 3.5}
    await publish(broker, "progress", body)


async def recorded(controller: Live) -> Call:
    """A call with one segment that is over, in a controller that hears of its processing."""
    made = await call(controller)
    await made.started()
    await made.stopped()
    async with asyncio.timeout(20):
        while "processing" not in await segment(made.service):
            await progress(controller.broker, 1)
    return made


async def segment(peer: Peer) -> Json:
    """The call's first segment."""
    shown = await peer.ok("getRoom", {"room": "call"})
    found: Json = shown["segments"][0]
    return found
