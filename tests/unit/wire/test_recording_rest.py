"""Bodies of the list of recordings: what is written is what the description says."""

from dataclasses import replace

import pytest

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RecordingType
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import (
    DecisionAtStart,
    Deletion,
    DeletionReason,
    Hold,
    Recording,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import JobProgress, MissingMedia, TrackSync
from sfu_wrapper.wire.recording_models import AttendedRecording, IndexedRecording
from sfu_wrapper.wire.recording_rest import (
    attended_json,
    page_token,
    parse_link_request,
    parse_page_token,
    recording_json,
)
from sfu_wrapper.wire.strict_json import dump, iso
from tests.helpers.recordings import START_MS, facts, failure, finished, result, user

MISSING = MissingMedia("a.mjr", Stream.CAMERA, None, START_MS, START_MS + 1, "EMPTY", "has nothing")
SYNC = TrackSync("a.mjr", Stream.CAMERA, None, 0, 1000)
READY = finished(facts(), result(facts(), {"a.webm": b"1"}, missing=(MISSING,), sync=(SYNC,)))
DELETION = Deletion(DeletionReason.ERASURE, START_MS, user("root"), START_MS + 5, "a file is held")
UNDECIDED = DecisionAtStart(False, False, RecordingType.NONE, None, "NO_PERMISSION")


@pytest.mark.parametrize(
    "recording",
    [
        READY,
        finished(facts(), failure(facts())),
        Recording(facts(decision=None), RecordingState.QUEUED),
        replace(READY, hold=Hold(user("zoe", "other"), "a dispute", START_MS)),
        replace(READY, state=RecordingState.DELETED, deletion=DELETION),
        replace(READY, deletion=Deletion(DeletionReason.RETENTION, START_MS)),
        replace(READY, facts=facts(decision=UNDECIDED, incomplete="a crash", missing=("video",))),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_every_recording_fits_its_description(recording: Recording, listed: bool) -> None:
    progress = JobProgress(recording.key.uuid, recording.key.segment, "compose", 41.5, 12.0)
    for known in (None, progress, replace(progress, eta_s=None)):
        shown = recording_json(recording, known, START_MS, listed=listed)
        IndexedRecording.model_validate_json(dump(shown), strict=False)

        assert ("participants" in shown) is not listed
        assert "sync" not in shown or not listed


def test_a_queued_recording_with_progress_is_being_processed() -> None:
    queued = Recording(facts(), RecordingState.QUEUED)
    progress = JobProgress(queued.key.uuid, queued.key.segment, "compose", 41.5, None)

    assert recording_json(queued, progress, None)["state"] == "processing"
    assert recording_json(queued, progress, None)["progress"] == {
        "stage": "compose", "percent": 41.5
    }  # fmt: skip
    assert recording_json(queued, None, None)["state"] == "queued"


def test_a_deletion_names_its_requester_and_its_trouble() -> None:
    shown = recording_json(replace(READY, deletion=DELETION), None, None)

    assert shown["deletion"] == {
        "reason": "erasure",
        "by": "root",
        "requestedAt": iso(START_MS),
        "doneAt": iso(START_MS + 5),
        "trouble": "a file is held",
    }


def test_stays_are_in_order_and_a_present_person_has_no_end() -> None:
    bob, zoe = user("bob"), user("zoe", "other")
    stays = (Stay(zoe, 5, None), Stay(bob, 7, 8), Stay(bob, 1, 2))
    shown = recording_json(replace(READY, facts=facts(stays=stays)), None, None)

    assert shown["participants"] == [
        {
            "user": "bob",
            "stays": [
                {"joinedAt": iso(1), "leftAt": iso(2)},
                {"joinedAt": iso(7), "leftAt": iso(8)},
            ],
        },
        {"user": "other/zoe", "stays": [{"joinedAt": iso(5)}]},
    ]


def test_a_participant_sees_no_files_and_no_people() -> None:
    shown = attended_json(READY, 30.5, None)

    AttendedRecording.model_validate_json(dump(shown), strict=False)
    assert not {"files", "participants", "expiresAt"} & shown.keys()


def test_the_token_of_a_page_leads_back_to_its_place() -> None:
    place = START_MS, facts("a.b-c_d", 12).key

    assert parse_page_token(page_token(*place)) == place


def test_a_wish_for_a_link_is_read_strictly() -> None:
    assert parse_link_request(b'{"name": "a.webm", "seconds": 60}').seconds == 60
    with pytest.raises(Malformed, match="seconds is wrong"):
        parse_link_request(b'{"name": "a.webm", "seconds": "60"}')
    with pytest.raises(Malformed):
        parse_link_request(b"[]")
