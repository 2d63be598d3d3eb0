"""The controller is killed in mid-segment, again and again: no segment is lost, none is doubled."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.live import DOMAIN, Peer, connected
from tests.helpers.processes import environment, free_port, queued, serve
from tests.helpers.wait import until

KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_ten_kills_in_mid_segment_leave_rising_numbers_and_one_event_each(
    tmp_path: Path, note: Callable[[str], None]
) -> None:
    url = f"ws://127.0.0.1:{(port := free_port())}"
    env = environment(tmp_path, WEBSOCKET__PORT=str(port), HTTP__PORT="0", ROOMS__RECORD="all")
    controller = await serve(env)
    async with connected(url, "room-service", "service") as service:
        await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": DOMAIN})
    numbers: list[int] = []
    down_s: list[float] = []
    for round_ in range(KILLS + 1):
        async with connected(url, "alice") as alice, connected(url, "bob") as bob:
            if round_ == 0:
                await join(alice, bob)
            numbers.append(await running_segment(alice, after=numbers[-1] if numbers else 0))
            await until(lambda: is_written(tmp_path, numbers[-1]))
            if round_ == KILLS:
                await alice.ok("stopRoomRecording", {"room": "call"})
                break
            died_s = asyncio.get_running_loop().time()
            await controller.kill()
            controller = await serve(env)
            down_s.append(asyncio.get_running_loop().time() - died_s)
    assert await controller.terminate() == 0

    note(f"accepted connections again after {max(down_s):.1f} s at most")
    events = await queued(tmp_path)
    assert numbers == list(range(1, KILLS + 2))
    assert [event["recordingInfo"]["segment"] for event in events] == numbers
    for event in events:
        assert written(tmp_path, event), "an event without any media that was written"


async def join(*peers: Peer) -> None:
    """Everybody into the call."""
    for peer in peers:
        await peer.ok("joinRoom", {"room": "call", "media": {"audio": True, "video": True}})


async def running_segment(peer: Peer, *, after: int) -> int:
    """The number of the segment that runs, as soon as another one than ``after`` does."""
    async with asyncio.timeout(20):
        while True:
            shown = await peer.ok("getRoom", {"room": "call"})
            recording = shown["recording"]
            if recording["active"] and recording["segment"] != after:
                return int(recording["segment"])
            await asyncio.sleep(0.05)


async def is_written(folder: Path, segment: int) -> bool:
    """Whether the videos of that segment, the youngest, hold something."""
    films = await asyncio.to_thread(lambda: sorted(folder.rglob("*.mjr"), key=_begun_ms))
    return len(films) >= 2 * segment and all(each.stat().st_size > 100 for each in films[-2:])


def _begun_ms(video_file: Path) -> int:
    return int(video_file.name.split("-")[-2])


def written(folder: Path, event: dict[str, Any]) -> bool:
    """Whether the files that an event names hold something."""
    info = event["recordingInfo"]
    videos = [
        folder / "raw" / file["filename"].lstrip("/")
        for streams in info["video"].values()
        for files in streams.values()
        for file in files.values()
    ]
    return bool(videos) and all(file.stat().st_size > 100 for file in videos)
