"""A call as it is meant: two browsers and a third client over a real Janus, recorded twice.

What is told is read from the finished files: who is seen when (by colour) and heard when (by tone).
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.browsercalls import (
    ROOM,
    TONES_HZ,
    casts,
    devices,
    heard,
    installation,
    seen_and_heard,
    shown,
)
from tests.helpers.callpage import opened
from tests.helpers.chromium import browser
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.januscalls import (
    first_frame_us,
    frames_before_key,
    key_frame_us,
    last_frame_us,
)
from tests.helpers.live import DOMAIN, Peer, connected
from tests.helpers.merged import decode_audio
from tests.helpers.processes import free_port, serve, start
from tests.helpers.publishers import Camera, Tone, person

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

SETTLED_S = 0.8  # after a change: encoders begin, the layout changes, the mixer has its delay
SOON = 15  # frames, a second of them: until a key frame that was asked for comes


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
            user: await opened(chromium, http_url, user, before=devices(colour, TONES_HZ[user]))
            for user, (chromium, colour) in at.items()
        }
        for page in pages.values():
            await page.join()
        await seen_and_heard(service, "alice", "bob")

        await asyncio.sleep(1)  # a browser sends no two key frames at once, for any requests
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


def test_participants_are_shown_from_their_arrival_until_they_leave(real_call: RealCall) -> None:
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
