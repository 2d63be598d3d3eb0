"""Controller and worker as two processes over the embedded queue: people hear of the result."""

from pathlib import Path

import pytest

from tests.helpers.live import DOMAIN, Json, Peer, connected
from tests.helpers.processes import environment, free_port, serve, start

MEDIA = {"audio": True, "video": True}


def is_done(frame: Json) -> bool:
    """Whether it tells that a recording has been processed."""
    body = frame["payload"]
    if frame["type"] != "event" or body["event"] != "recordingChanged":
        return False
    return bool(body["payload"].get("processing") == {"state": "processed"})


def progress(peer: Peer) -> list[Json]:
    """How far the work was, each time that it was told."""
    frames = (frame["payload"] for frame in peer.received if frame["type"] == "event")
    told = [f["payload"].get("processing") for f in frames if f["event"] == "recordingChanged"]
    return [each for each in told if each is not None]


@pytest.mark.timeout(120)
async def test_the_owner_hears_of_the_files_that_another_process_made(tmp_path: Path) -> None:
    url = f"ws://127.0.0.1:{(port := free_port())}"
    env = environment(tmp_path, WEBSOCKET__PORT=str(port), HTTP__PORT="0", ROOMS__RECORD="all")
    controller = await serve(env)
    worker = await start(env, "worker")
    async with connected(url, "alice") as alice, connected(url, "bob") as bob:
        await alice.ok("createRoom", {"id": "call", "record": False})
        for peer in (alice, bob):
            await peer.ok("joinRoom", {"room": "call", "media": MEDIA})
        await alice.ok("watch", {"topics": ["recordings"]})
        await alice.ok("startRoomRecording")
        await bob.ok("updateMedia", {"media": {"audio": True}})
        await alice.ok("stopRoomRecording")
        told = await alice.event("roomRecordingProcessed")
        watched = await alice.receive(is_done)
        shown = await bob.ok("getRoom")
        others = bob.events()
    assert await worker.terminate() == 0
    assert await controller.terminate() == 0

    made = {path.name: path.stat().st_size for path in (tmp_path / "out").glob("rec-*")}
    assert {file["name"]: file["bytes"] for file in told["files"]} == made
    assert watched["payload"]["payload"]["files"] == told["files"]
    assert watched["payload"]["payload"]["domain"] == DOMAIN
    assert shown["segments"][0]["processing"] == {"state": "processed"}
    assert "roomRecordingProcessed" not in others
    assert progress(alice)[0]["state"] == "processing"
