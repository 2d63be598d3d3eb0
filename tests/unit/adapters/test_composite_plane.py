"""An SFU and a mixer as one plane: who is asked for what, and whose word counts."""

import pytest

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.planes.composite_plane import PairedPlane
from sfu_wrapper.core.media_plane import (
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.media import Medium
from tests.helpers.planes import AUDIO, BRIDGE, ROOM, VIDEO, camera, running, start


class Pair:
    """A paired plane and the two that it is made of."""

    def __init__(self) -> None:
        self.sfu = MemoryPlane()
        self.mixer = MemoryPlane()
        self.plane = PairedPlane(video=self.sfu, audio=self.mixer)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_captures_go_to_the_plane_that_writes_their_medium(pair: Pair) -> None:
    of_video: list[PlaneRequest] = [start(VIDEO), ResumeCapture(VIDEO, ()), StopCapture(VIDEO)]
    of_audio: list[PlaneRequest] = [start(AUDIO), ResumeCapture(AUDIO, ()), StopCapture(AUDIO)]
    for request in [*of_video, *of_audio]:
        pair.plane.send(request)

    assert pair.sfu.asked == of_video
    assert pair.mixer.asked == of_audio


def test_rooms_and_tracks_are_told_to_both(pair: Pair) -> None:
    told: list[PlaneRequest] = [
        OpenMediaRoom(ROOM, BRIDGE),
        PublishTrack(ROOM, camera("alice")),
        UnpublishTrack(ROOM, camera("alice")),
        CloseMediaRoom(ROOM),
    ]
    for request in told:
        pair.plane.send(request)

    assert pair.sfu.asked == pair.mixer.asked == told


def test_one_that_can_take_no_more_keeps_nothing_from_the_other(pair: Pair) -> None:
    pair.sfu.full = True
    with pytest.raises(Unavailable):
        pair.plane.send(OpenMediaRoom(ROOM, BRIDGE))

    assert pair.mixer.asked == [OpenMediaRoom(ROOM, BRIDGE)]


def test_one_that_is_away_is_named(pair: Pair) -> None:
    pair.mixer.unavailable = {Medium.AUDIO}

    assert pair.plane.is_available(Medium.VIDEO)
    assert not pair.plane.is_available(Medium.AUDIO)


async def test_neither_is_heard_about_the_medium_of_the_other(pair: Pair) -> None:
    async with running(pair.plane) as bench:
        pair.sfu.back()  # says so of both media
        pair.mixer.emit(CaptureStopped(VIDEO, 1, ()))
        pair.mixer.back()
        heard = {await bench.next(), await bench.next()}
        pair.sfu.emit(CaptureStopped(VIDEO, 2, ()))
        last = await bench.next()

    assert heard == {PlaneBack(Medium.VIDEO), PlaneBack(Medium.AUDIO)}
    assert last == CaptureStopped(VIDEO, 2, ())
