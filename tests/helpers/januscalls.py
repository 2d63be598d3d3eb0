"""Calls over a real Janus: a live controller, WebSockets, WebRTC and files.

Alice speaks with 440 Hz and Bob with 880 Hz; each shows a colour of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.plane import audio_plane, video_plane
from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    JanusAddress,
    open_session,
)
from sfu_wrapper.adapters.planes.composite_plane import PairedPlane
from sfu_wrapper.formats.mjr import Reader
from sfu_wrapper.formats.rtp import payload_span
from sfu_wrapper.formats.vp8 import Vp8
from sfu_wrapper.ports.system import Clock
from tests.helpers.calls import Call, call, files, mixes
from tests.helpers.janus import ADMIN_KEY, JanusServer
from tests.helpers.live import Json, Live, live
from tests.helpers.peopled import janus_settings
from tests.helpers.publishers import Camera, Person, Tone, person

BACK_S = 30.0
TONES_HZ = {"alice": 440, "bob": 880, "carol": 1320}
COLOURS = {"alice": (150, 60, 60), "bob": (90, 200, 100), "carol": (60, 100, 220)}
SFU = ("media.sfu=janus", "media.mixer=audiobridge", "janus.roomSecret=not-used-by-these-tests")
_rooms = count(1)


@dataclass(slots=True)
class RealCall:
    """Established call, and its publishers at Janus."""

    controller: Live
    call: Call
    server: JanusServer
    folder: Path
    people: dict[str, Person] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def come(self, *users: str) -> None:
        """Publish camera and microphone once the rooms exist, and wait until clients see it."""
        for user in users:
            await self._come(user)

    async def _come(self, user: str) -> None:
        connection = await self.stack.enter_async_context(person(self.server.address))
        self.people[user] = connection
        room, publisher = self.call.room, f"p-{user}"
        await again(lambda: connection.send_video(room, publisher, Camera(COLOURS[user])))
        await again(lambda: connection.speak(room, publisher, Tone(TONES_HZ[user])))
        await self.shows(user, audio=True, video=True)

    async def shows(self, user: str, **media: bool) -> None:
        """Wait until all clients are notified that ``user`` publishes exactly this."""
        wanted = {"audio": False, "video": False, "screen": False} | media
        async with asyncio.timeout(BACK_S):
            while True:
                shown = await self.call.shown()
                if wanted in [p["media"] for p in shown["participants"] if p["user"] == user]:
                    return
                await asyncio.sleep(0.02)

    async def go(self) -> None:
        """Close the connections of all publishers to Janus."""
        self.people.clear()
        await self.stack.aclose()

    def videos(self, info: Json) -> list[Path]:
        """Return the video files of a recordingInfo on disk."""
        return [self.folder / "raw" / name.lstrip("/") for name in files(info)]

    def mix(self, info: Json) -> Path:
        """Return the only mix of a recordingInfo."""
        (name,) = mixes(info)
        return self.folder / "audio" / name


async def again(ask: Callable[[], Awaitable[None]]) -> None:
    """Retry until the room exists: Janus or the controller may still be restarting."""
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                await ask()
            except JanusRefused as refused:
                if refused.trouble is not Trouble.NO_SUCH_ROOM:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def real_call(
    server: JanusServer,
    folder: Path,
    *overrides: str,
    url: str | None = None,
    timeout_s: float = 10.0,
    clock: Clock | None = None,
) -> AsyncIterator[RealCall]:
    """Alice and Bob in a call over Janus; nothing is recorded yet.

    url: by which way the controller reaches Janus.
    """
    address = server.address if url is None else replace(server.address, url=url)
    chosen = (*SFU, f"media.timeoutSeconds={timeout_s}", *overrides)
    async with live(*chosen, plane=plane_at(server, address, folder), clock=clock) as controller:
        talk = await call(controller, f"call-{next(_rooms)}", media={})
        real = RealCall(controller, talk, server, folder)
        try:
            await real.come("alice", "bob")
            yield real
        finally:
            await real.go()
            with suppress(Exception):  # it may have ended
                await talk.service.ok("endRoom", {"room": talk.room})


def plane_at(server: JanusServer, address: JanusAddress, folder: Path) -> PairedPlane:
    """Return settings for both media of a Janus at this address."""
    raw = replace(janus_settings(server, folder / "raw"), address=address)
    audio = replace(janus_settings(server, folder / "audio"), address=address)
    return PairedPlane(video=video_plane(raw), audio=audio_plane(audio))


async def is_recording(server: JanusServer, room: str) -> list[bool]:
    """Return whether the VideoRoom and the AudioBridge of a room record, if they exist."""
    found = []
    async with open_session(server.address) as session:
        for plugin in (VIDEO_ROOM, AUDIO_BRIDGE):
            handle = await session.attach(plugin)
            answer = await handle.request({"request": "list", "admin_key": ADMIN_KEY})
            rooms = answer["list"]
            assert isinstance(rooms, list)
            found += [bool(each["record"]) for each in rooms if each["room"] == room]
    return found


def first_frame_us(video: Path) -> int:
    """Return the time of a video's first packet, epoch µs."""
    header = Reader(video.read_bytes()).header
    assert header is not None
    return header.started_us


def last_frame_us(video: Path) -> int:
    """Return the time of a video's last packet, epoch µs."""
    *_, (offset_ms, _, _) = Reader(video.read_bytes()).frames()
    return first_frame_us(video) + offset_ms * 1000


async def is_written(folder: Path, since_us: int, count: int) -> bool:
    """Return True if that many videos below a folder hold packets received after a time."""
    found = await asyncio.to_thread(lambda: [_last_us(each) for each in folder.rglob("*.mjr")])
    return sum(last_us > since_us for last_us in found) == count


def _last_us(video: Path) -> int:
    reader = Reader(video.read_bytes())
    if reader.header is None:
        return 0
    return reader.header.started_us + 1000 * max((ms for ms, _, _ in reader.frames()), default=0)


def key_frame_us(video: Path) -> int:
    """Return the time of the first packet of a video's first VP8 key frame."""
    return first_frame_us(video) + _until_key(video)[0] * 1000


def frames_before_key(video: Path) -> int:
    """Return how many frames, complete or partial, precede that key frame."""
    return _until_key(video)[1]


def _until_key(video: Path) -> tuple[int, int]:
    data = video.read_bytes()
    timestamps = set[bytes]()
    for offset_ms, start, end in Reader(data).frames():
        span = payload_span(data, start, end)
        coded = Vp8().frame([memoryview(data)[slice(*span)]])
        if coded is not None and coded.key:
            return offset_ms, len(timestamps)
        timestamps.add(data[start + 4 : start + 8])  # the timestamp of its packets
    raise AssertionError(f"no key frame in {video}")
