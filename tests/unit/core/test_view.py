"""The ``recording`` object (protocol.md)."""

from sfu_wrapper.core.policy import PolicySettings, Reason, Source
from sfu_wrapper.core.segment_report import RecordingStatus, recording_status
from sfu_wrapper.model.identity import Kind, OwnerPermissions, RecordingType
from tests.helpers.rooms import ALICE, BOB, FORBIDDEN, Call, automatic, established, recording


def view(call: Call) -> RecordingStatus:
    return recording_status(call.room, call.permissions, call.policy)


def test_before_establishment_it_forecasts() -> None:
    call = Call()
    assert view(call) == RecordingStatus(
        True, True, RecordingType.ALL, Source.USER, None, active=False
    )
    call.permissions = FORBIDDEN

    assert view(call) == RecordingStatus(
        False, False, RecordingType.NONE, Source.USER, Reason.PROFILE, active=False
    )


def test_after_establishment_automatic_stays_as_it_was_decided_and_allowed_is_of_now() -> None:
    call = automatic()
    call.permissions = FORBIDDEN

    assert (view(call).automatic, view(call).reason) == (True, None)
    assert not view(call).allowed


def test_a_room_that_did_not_start_by_itself_keeps_its_reason() -> None:
    call = established(PolicySettings(), permissions=OwnerPermissions())
    call.policy = PolicySettings(system=RecordingType.ALL)

    assert (view(call).allowed, view(call).reason) == (True, Reason.NO_PERMISSION)


def test_only_a_confirmed_segment_is_active() -> None:
    call = established()
    call.start()
    assert not view(call).active
    call.confirm()
    running = view(call)
    call.stop()

    assert (running.active, running.segment) == (True, 1)
    assert running.started_ms == call.wall_ms
    assert not view(call).active
    assert view(call).segment is None


def test_a_public_room_says_that_no_level_decides() -> None:
    assert view(Call(Kind.PUBLIC)).source is None


def test_the_view_is_the_same_for_everyone_who_joins() -> None:
    call = recording()
    before = view(call)
    call.join(ALICE)
    call.join(BOB)

    assert view(call) == before
