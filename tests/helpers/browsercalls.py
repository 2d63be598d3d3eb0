"""Calls of real browsers over a real Janus, and who is seen and heard when in their recordings.

Each user has a colour and a tone: alice red and 440 Hz, bob blue and 880 Hz, carol 1320 Hz.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.core.plan import Tile, grid
from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers import chromium, firefox
from tests.helpers.callpage import CallPage, opened, sees
from tests.helpers.janus import JanusServer, environment_at_janus
from tests.helpers.live import DOMAIN, Peer, connected
from tests.helpers.merged import HEIGHT, WIDTH, loudness
from tests.helpers.processes import free_port, serve, start

TONES_HZ = {"alice": 440, "bob": 880, "carol": 1320}
AUDIBLE, SILENT = 0.02, 0.006

ROOM = {"room": "standup"}
_PROCESSED_S = 90.0  # a deadline: browsers run beside the worker
_DEVICES = """(() => {
  if (!navigator.mediaDevices) return;  // of a page that is not secure
  const colour = "%s", hertz = %d, width = %d, height = %d;
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async wanted => {
    const stream = new MediaStream();
    if (wanted.video) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const pen = canvas.getContext("2d");
      setInterval(() => {
        pen.fillStyle = colour;
        pen.fillRect(0, 0, width, height);
        pen.fillStyle = "#808080";
        pen.fillRect(Date.now() / 10 %% width, 10, 20, 20);
      }, 50);
      [globalThis.camera] = canvas.captureStream(15).getVideoTracks();
      stream.addTrack(camera);
    }
    if (wanted.audio && !hertz) {
      stream.addTrack((await own({audio: true})).getAudioTracks()[0]);
    } else if (wanted.audio) {
      const context = new AudioContext();
      await context.resume();
      const [tone, level] = [context.createOscillator(), context.createGain()];
      tone.frequency.value = hertz;
      level.gain.value = 0.25;
      const out = context.createMediaStreamDestination();
      tone.connect(level).connect(out);
      tone.start();
      stream.addTrack(out.stream.getAudioTracks()[0]);
    }
    return stream;
  };
})()"""


def devices(colour: str, hertz: int, size: tuple[int, int] = (320, 240)) -> str:
    """Return a script: a camera of one colour and a microphone with one tone replace the browser's.

    The camera's track is in ``globalThis.camera``. 0 Hz: the microphone stays the browser's own, as
    it must in Firefox, where an AudioContext runs only if the machine can play sound.
    """
    return _DEVICES % (colour, hertz, *size)


def installation(
    janus: JanusServer, folder: Path, port: int, http_port: int, **settings: str
) -> dict[str, str]:
    """Return the variables of a controller and a worker at this Janus."""
    return environment_at_janus(
        folder,
        janus,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT=str(http_port),
        RECORD_RECORDING_AT_START="false",
        **settings,
    )


@dataclass(slots=True)
class TwoBrowsers:
    """A call of alice with Chromium and bob with Firefox, who see and hear each other.

    env: variables of the installation. service, owner: clients without media; alice is the owner.
    """

    env: dict[str, str]
    service: Peer
    owner: Peer
    alice: CallPage
    bob: CallPage

    async def record(self, during: Callable[[], Awaitable[None]]) -> float:
        """Record a segment while that goes on; return when it began, s since the epoch."""
        started = await self.owner.ok("startRoomRecording", ROOM)
        await during()
        await self.owner.ok("stopRoomRecording", ROOM)
        return parse_iso(started["startedAt"]) / 1000

    async def process(self, **settings: str) -> list[dict[str, Any]]:
        """Process what was recorded, with these settings of a worker; return its log."""
        chosen = {f"SFU_WRAPPER__{key}": value for key, value in settings.items()}
        worker = await start(self.env | chosen, "worker", "--once")
        assert await worker.ended(_PROCESSED_S) == 0
        return worker.lines


@asynccontextmanager
async def two_browsers(
    janus: JanusServer,
    folder: Path,
    *,
    size: tuple[int, int] = (320, 240),
    script: str = "",
    **settings: str,
) -> AsyncIterator[TwoBrowsers]:
    """Hold a call of Chromium (red) and Firefox (blue).

    Args:
        janus: SFU and mixer.
        folder: Folder of the installation.
        size: Size of both cameras, pixels.
        script: Run in Chromium before the page's own.
        settings: Variables of the installation.
    """
    ports = free_port(), free_port()
    env = installation(janus, folder, ports[0], ports[1], **settings)
    url, http_url = f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    controller = await serve(env)
    async with (
        chromium.browser() as first,
        firefox.browser(**{firefox.TONE: TONES_HZ["bob"]}) as second,
        connected(url, "room-service", "service") as service,
        connected(url, "alice") as owner,
    ):
        room = {"id": "standup", "uuid": "uuid-of-standup", "confbridgeId": "bridge-of-standup"}
        who = {"kind": "meeting", "owner": "alice", "domain": DOMAIN}
        await service.ok("createRoom", room | who)
        red = script + devices("#c02020", TONES_HZ["alice"], size)
        alice = await opened(first, http_url, "alice", before=red)
        bob = await opened(second, http_url, "bob", before=devices("#2020c0", 0, size))
        for page in (alice, bob):
            await page.join()
        await seen_and_heard(service, "alice", "bob")
        await sees(alice, "bob")
        await sees(bob, "alice")
        yield TwoBrowsers(env, service, owner, alice, bob)
    assert await controller.terminate() == 0


_OF_THE_START = re.compile(r"before the first key frame|begins .* earlier than the event says")


def missed(lines: list[dict[str, Any]]) -> list[str]:
    """Return the warnings of a worker's log, but for those of a busy machine at a start."""
    told = [str(line["warning"]) for line in lines if line["message"] == "job.warning"]
    return [each for each in told if not _OF_THE_START.search(each)]


async def seen_and_heard(service: Peer, *users: str) -> None:
    """Wait until the SFU and the mixer have them."""
    wanted = {user: {"audio": True, "video": True, "screen": False} for user in users}
    async with asyncio.timeout(30):
        while True:
            people = (await service.ok("getRoom", ROOM))["participants"]
            if {each["user"]: each["media"] for each in people} == wanted:
                return
            await asyncio.sleep(0.05)


def casts(file: Path) -> list[str]:
    """Who is shown together, one after the other, without the moments in which it changes."""
    runs = [(cast, len(list(run))) for cast, run in groupby(cast for _, cast in shown(file))]
    return [cast for cast, count in runs if count >= 5]


def shown(file: Path) -> list[tuple[float, str]]:
    """Of every second frame its time, s, and who is on it."""
    with av.open(str(file)) as container:
        return [
            (
                float(frame.time or 0),
                who_is_on(np.asarray(frame.to_ndarray(format="yuv444p"), np.uint8)),
            )
            for index, frame in enumerate(container.decode(video=0))
            if index % 2 == 0
        ]


def who_is_on(planes: NDArray[np.uint8]) -> str:
    for count in (1, 2, 3):
        people = [who_is_in(planes, tile) for tile in grid(count, WIDTH, HEIGHT)]
        if all(people):
            return " ".join(sorted(str(each) for each in people))
    return ""


def who_is_in(planes: NDArray[np.uint8], tile: Tile) -> str | None:
    """Whose colour fills the middle of a tile."""
    x, y = tile.x + tile.width // 2, tile.y + tile.height // 2
    middle = planes[:, y - 30 : y + 30, x - 30 : x + 30].reshape(3, -1)
    _, blue, red = middle.mean(axis=1)
    if middle.std(axis=1).max() > 12:
        return None
    if red > 160:
        return "alice"
    if blue > 160:
        return "bob"
    return "carol" if blue < 100 and red < 100 else None


def heard(samples: NDArray[np.float32], from_s: float, to_s: float) -> set[str]:
    """Whose tones are there; each is either clearly there or clearly not."""
    stretch = samples[int(from_s * 48_000) : int(to_s * 48_000)]
    levels = {user: loudness(stretch, hz) for user, hz in TONES_HZ.items()}
    assert not [user for user, level in levels.items() if SILENT < level < AUDIBLE], levels
    return {user for user, level in levels.items() if level > AUDIBLE}
