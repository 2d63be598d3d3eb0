"""The bookkeeping in front of the simulated plane: seats, faults, and what a death means."""

from pathlib import Path

import pytest

from sfu_wrapper.adapters.simulated.faults import Faults, InjectedFault, Way
from sfu_wrapper.adapters.simulated.messages import (
    Add,
    Heartbeat,
    Resume,
    StartWriting,
    StopWriting,
)
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.adapters.simulated.request_tracker import RequestTracker
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneFact,
    PublishTrack,
    ResumeCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.media import Medium, RawFile, Stream
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    TOKEN,
    VIDEO,
    camera,
    send_repeatedly,
    start,
    voice,
)

FILE = RawFile("/room-1/a.mjr", Stream.CAMERA, 1)
BACK: tuple[PlaneFact, ...] = (PlaneBack(Medium.AUDIO), PlaneBack(Medium.VIDEO))


def tracker(faults: str = "") -> RequestTracker:
    return RequestTracker(Faults.parse(faults))


def sent(tracker: RequestTracker, *requests: object) -> None:
    """Requests that have left for the child."""
    for request in requests:
        order = tracker.order(request)  # type: ignore[arg-type]  # any request will do
        assert order is not None
        tracker.sent(order)


def positions(order: object) -> list[int]:
    assert isinstance(order, StartWriting)
    return [seated.position for seated in order.tracks]


def test_a_user_has_one_seat_for_all_tracks_and_segments() -> None:
    one = tracker()

    assert positions(one.order(start(VIDEO, camera("alice"), camera("bob")))) == [0, 1]
    assert positions(one.order(start(AUDIO, voice("bob"), voice("carol")))) == [1, 2]


def test_the_seats_of_a_closed_room_are_given_anew() -> None:
    one = tracker()
    one.order(PublishTrack(ROOM, camera("alice")))
    one.order(CloseMediaRoom(ROOM))

    order = one.order(PublishTrack(ROOM, camera("bob")))
    assert isinstance(order, Add)
    assert order.seated.position == 0


def test_opening_a_room_is_nothing_to_do() -> None:
    assert tracker().order(OpenMediaRoom(ROOM, BRIDGE)) is None


def test_faults_travel_with_the_request_that_they_spoil() -> None:
    one = tracker("video.start=late:2*1,video.stop=hang*1,die=3*1,video.lose=4*1")
    begin, finish = one.order(start(VIDEO)), one.order(StopCapture(VIDEO))

    assert begin == StartWriting(
        VIDEO, BRIDGE, (), InjectedFault(Way.LATE, 2.0), lose_s=4.0, die_s=3.0
    )
    assert finish == StopWriting(VIDEO, InjectedFault(Way.HANG))
    assert one.order(start(VIDEO)) == StartWriting(VIDEO, BRIDGE, ())


def test_a_sign_of_life_is_no_fact() -> None:
    assert tracker().handle(Heartbeat()) == ()


def test_after_a_death_the_plane_is_back_when_the_last_fate_is_told() -> None:
    one = tracker()
    sent(one, start(VIDEO), start(AUDIO))
    for capture in (VIDEO, AUDIO):
        one.handle(CaptureStarted(capture, 1, (FILE,)))

    orders, facts = one.restart()
    assert [order.capture for order in orders if isinstance(order, Resume)] == [VIDEO, AUDIO]
    assert facts == ()
    first, second = (CaptureLost(capture, 2, (FILE,), "died") for capture in (VIDEO, AUDIO))
    assert one.handle(first) == (first,)
    assert one.handle(second) == (second, *BACK)


def test_after_a_death_in_idleness_the_plane_is_back_at_once() -> None:
    assert tracker().restart() == ((), BACK)


def test_a_start_that_died_unconfirmed_and_left_nothing_has_failed() -> None:
    one = tracker()
    sent(one, start(VIDEO))
    one.restart()

    assert one.handle(CaptureLost(VIDEO, 2, (), "died")) == (CaptureFailed(VIDEO, "died"), *BACK)


def test_a_start_that_died_unconfirmed_and_left_files_is_lost() -> None:
    one = tracker()
    sent(one, start(VIDEO))
    lost = CaptureLost(VIDEO, 2, (FILE,), "died")

    assert one.handle(lost) == (lost,)


def test_a_start_that_never_left_is_not_lost_with_the_child() -> None:
    one = tracker()
    one.order(start(VIDEO))

    assert one.restart() == ((), BACK)


def test_what_has_stopped_is_not_taken_up() -> None:
    one = tracker()
    sent(one, start(VIDEO))
    one.handle(CaptureStopped(VIDEO, 2, (FILE,)))

    assert one.restart() == ((), BACK)


def test_what_was_to_be_resumed_is_taken_up_again() -> None:
    one = tracker()
    sent(one, ResumeCapture(VIDEO, (FILE,)))
    orders, _ = one.restart()

    assert [order.files for order in orders if isinstance(order, Resume)] == [(FILE,)]


def test_a_full_queue_is_said_and_changes_nothing(tmp_path: Path) -> None:
    plane = SimulatedPlane(tmp_path, tmp_path, token=TOKEN)
    with pytest.raises(Unavailable, match="queue"):
        send_repeatedly(plane, StopCapture(VIDEO))
    with pytest.raises(Unavailable, match="queue"):
        plane.set_faults(Faults.parse("freeze=1"))


@pytest.mark.parametrize(("token", "width_px"), [("c0ffee", 320), ("c0ffee01", 300)])
def test_an_impossible_frame_is_refused(tmp_path: Path, token: str, width_px: int) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        SimulatedPlane(tmp_path, tmp_path, token=token, width_px=width_px)
