"""A call as it is meant: two browsers and a third client over a real Janus, recorded twice.

What is told is read from the finished files: who is seen when (by colour) and heard when (by tone).
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sfu_wrapper.core.plan import Tile, grid
from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.callpage import opened
from tests.helpers.chromium import browser
from tests.helpers.janus import JanusServer, environment_at_janus, running_janus
from tests.helpers.januscalls import (
    first_frame_us,
    frames_before_key,
    key_frame_us,
    last_frame_us,
)
from tests.helpers.live import DOMAIN, Peer, connected
from tests.helpers.merged import HEIGHT, WIDTH, decode_audio, loudness
from tests.helpers.processes import free_port, serve, start
from tests.helpers.publishers import Camera, Tone, person

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

ROOM = {"room": "standup"}
TONES_HZ = {"alice": 440, "bob": 880, "carol": 1320}
AUDIBLE, SILENT = 0.02, 0.006
SETTLED_S = 0.8  # after a change: encoders begin, grids are laid anew, the mixer has its delay
SOON = 15  # frames, a second of them: until a key frame that was asked for comes

# A camera of one colour and a microphone with one tone, in place of the browser's own.
DEVICES = """(() => {
  const colour = "%s", hertz = %d;
  navigator.mediaDevices.getUserMedia = async wanted => {
    const stream = new MediaStream();
    if (wanted.video) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [320, 240];
      const pen = canvas.getContext("2d");
      setInterval(() => {
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 320, 240);
        pen.fillStyle = "#808080";
        pen.fillRect(Date.now() / 10 %% 320, 10, 20, 20);
      }, 50);
      stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
    }
    if (wanted.audio) {
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


@dataclass
class RealCall:
    """What happened. Times in s since the epoch.

    asked_s, begun_s: when each start was asked for, and since when its segment runs, as is said.
    stop_s, ended_s: when each stop was asked for and answered. carol_s: when she began to come and
    was there; bob_s: when he began to go and was gone.
    raw: of each segment's video of each user, when its first packet, its first key frame and its
    last packet came. late: how many frames came before that key frame.
    names: of all files beside and including these.
    """

    folder: Path
    asked_s: list[float] = field(default_factory=list)
    begun_s: list[float] = field(default_factory=list)
    stop_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    carol_s: tuple[float, float] = (0, 0)
    bob_s: tuple[float, float] = (0, 0)
    raw: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    late: dict[tuple[int, str], int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """The finished files, by segment."""
        return sorted((self.folder / "out").glob("*.webm"))

    def measure(self) -> None:
        """Look at the raw files, which are gone once they are processed."""
        folder = self.folder / "raw" / "uuid-of-standup"
        for segment in (1, 2):
            for user in TONES_HZ:
                (video,) = (folder / str(segment)).glob(f"*-user-p-{user}[-~]*.mjr")
                times = first_frame_us(video), key_frame_us(video), last_frame_us(video)
                self.raw[segment, user] = [us / 1e6 for us in times]
                self.late[segment, user] = frames_before_key(video)
        self.names = [path.name for path in folder.rglob("*.*")]


@pytest.fixture(scope="module")
def real_call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCall]:
    folder = tmp_path_factory.mktemp("call")
    with running_janus(folder / "janus") as janus:
        yield asyncio.run(scenario(janus, RealCall(folder)))


async def scenario(janus: JanusServer, real_call: RealCall) -> RealCall:
    """Alice and Bob with browsers; Carol comes in segment 1, Bob goes in segment 2."""
    ports = free_port(), free_port()
    env = installation(janus, real_call.folder, *ports)
    url, http_url = f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    controller = await serve(env)
    async with (
        browser() as first,
        browser() as second,
        person(janus.address) as carol,
        connected(url, "room-service", "service") as service,
        connected(url, "alice") as alice,
        connected(url, "carol") as client,
    ):
        room = {"id": "standup", "uuid": "uuid-of-standup", "confbridgeId": "bridge-of-standup"}
        who = {"kind": "meeting", "owner": "alice", "domain": DOMAIN}
        await service.ok("createRoom", room | who)
        at = {"alice": (first, "#c02020"), "bob": (second, "#2020c0")}
        pages = {
            user: await opened(chromium, http_url, user, before=DEVICES % (colour, TONES_HZ[user]))
            for user, (chromium, colour) in at.items()
        }
        for page in pages.values():
            await page.join()
        await seen_and_heard(service, "alice", "bob")

        await asyncio.sleep(1)  # a browser sends no two key frames at once, whoever asks
        await begin(alice, real_call)
        await asyncio.sleep(1.5)
        where = (await client.ok("joinRoom", ROOM))["media"]
        comes_s = time.time()
        await carol.send_video(where["videoRoom"], where["publisherId"], Camera((120, 60, 60)))
        await carol.speak(where["audioRoom"], where["publisherId"], Tone(TONES_HZ["carol"]))
        await seen_and_heard(service, "alice", "bob", "carol")
        real_call.carol_s = comes_s, time.time()
        await asyncio.sleep(1.8)
        await end(alice, real_call)

        await begin(alice, real_call)
        await asyncio.sleep(1.8)
        goes_s = time.time()
        await pages["bob"].click("leave")
        await seen_and_heard(service, "alice", "carol")
        real_call.bob_s = goes_s, time.time()
        await asyncio.sleep(1.8)
        await end(alice, real_call)
    real_call.measure()
    worker = await start(env, "worker", "--once")
    assert await worker.ended() == 0
    assert await controller.terminate() == 0
    return real_call


def installation(janus: JanusServer, folder: Path, port: int, http_port: int) -> dict[str, str]:
    return environment_at_janus(
        folder,
        janus,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT=str(http_port),
        RECORD_RECORDING_AT_START="false",
    )


async def seen_and_heard(service: Peer, *users: str) -> None:
    """Wait until the SFU and the mixer have them."""
    wanted = {user: {"audio": True, "video": True, "screen": False} for user in users}
    async with asyncio.timeout(30):
        while True:
            people = (await service.ok("getRoom", ROOM))["participants"]
            if {each["user"]: each["media"] for each in people} == wanted:
                return
            await asyncio.sleep(0.05)


async def begin(owner: Peer, real_call: RealCall) -> None:
    real_call.asked_s.append(time.time())
    started = await owner.ok("startRoomRecording", ROOM)
    real_call.begun_s.append(parse_iso(started["startedAt"]) / 1000)


async def end(owner: Peer, real_call: RealCall) -> None:
    real_call.stop_s.append(time.time())
    await owner.ok("stopRoomRecording", ROOM)
    real_call.ended_s.append(time.time())


def test_each_segment_is_one_file(real_call: RealCall) -> None:
    assert len(real_call.files) == 2


def test_the_first_file_shows_the_two_browsers_and_then_the_third(real_call: RealCall) -> None:
    assert casts(real_call.files[0]) == ["alice bob", "alice bob carol"]


def test_the_second_file_shows_all_three_of_whom_one_leaves(real_call: RealCall) -> None:
    assert casts(real_call.files[1]) == ["alice bob carol", "alice carol"]


def test_whoever_comes_and_goes_is_shown_from_then_on_and_until_then(real_call: RealCall) -> None:
    came_s = next(at for at, cast in shown(real_call.files[0]) if "carol" in cast)
    last_s = max(at for at, cast in shown(real_call.files[1]) if "bob" in cast)

    _, key_s, _ = real_call.raw[1, "carol"]
    _, _, gone_s = real_call.raw[2, "bob"]
    assert came_s == pytest.approx(key_s - real_call.begun_s[0], abs=SETTLED_S)
    assert last_s == pytest.approx(gone_s - real_call.begun_s[1], abs=SETTLED_S)
    assert real_call.carol_s[0] < key_s
    assert gone_s < real_call.bob_s[1]


def test_everybody_is_heard_while_there(real_call: RealCall) -> None:
    first, second = (decode_audio(file) for file in real_call.files)
    comes_s, here_s = (at_s - real_call.begun_s[0] for at_s in real_call.carol_s)
    goes_s, gone_s = (at_s - real_call.begun_s[1] for at_s in real_call.bob_s)

    assert heard(first, SETTLED_S, comes_s) == {"alice", "bob"}
    assert heard(first, here_s + SETTLED_S, here_s + 1.7) == {"alice", "bob", "carol"}
    assert heard(second, SETTLED_S, goes_s - 0.1) == {"alice", "bob", "carol"}
    assert heard(second, gone_s + SETTLED_S, gone_s + 1.7) == {"alice", "carol"}


def test_recording_begins_with_a_key_frame_soon_and_ends_with_the_stop(real_call: RealCall) -> None:
    for segment, asked_s in enumerate(real_call.asked_s, start=1):
        for user in ("alice", "bob"):
            first_s, key_s, _ = real_call.raw[segment, user]
            assert asked_s <= first_s <= key_s
            assert real_call.late[segment, user] < SOON
    changed_s = real_call.carol_s[1], real_call.bob_s[1]
    for segment, ended_s in enumerate(real_call.ended_s, start=1):
        for user in ("alice", "carol"):
            assert changed_s[segment - 1] < real_call.raw[segment, user][2] < ended_s


def test_no_audio_is_kept_beside_the_video(real_call: RealCall) -> None:
    assert len(real_call.names) == 6
    assert not [name for name in real_call.names if "-audio-" in name]


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
