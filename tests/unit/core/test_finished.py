"""Which files a recording offers, and under which names."""

from dataclasses import replace

import pytest

from sfu_wrapper.core.finished import (
    known_files,
    media_type,
    offered_file,
    offered_files,
    place_below,
    public_name,
)
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.recording import Deletion, DeletionReason, Recording, RecordingState
from sfu_wrapper.model.segment import Processed
from tests.helpers.recordings import START_MS, facts, failure, finished, result

READY = finished(facts(), result(facts(), {"a.webm": b"1", "a.jpg": b"2"}))
DELETION = Deletion(DeletionReason.REQUESTED, START_MS)


def names(recording: Recording) -> list[str]:
    return [public_name(file) for file in offered_files(recording)]


def test_finished_files_are_offered_by_the_last_part_of_their_paths() -> None:
    assert names(READY) == ["a.webm", "a.jpg"]
    assert offered_file(READY, "a.jpg").size_bytes == 1
    with pytest.raises(Refused, match="file not found"):
        offered_file(READY, "b.jpg")


@pytest.mark.parametrize(
    "gone",
    [
        replace(READY, deletion=DELETION),
        replace(READY, state=RecordingState.DELETED),
        replace(READY, outcome=None),
        finished(facts(), failure(facts())),
    ],
)
def test_without_a_result_or_after_a_deletion_nothing_is_offered(gone: Recording) -> None:
    assert names(gone) == []


def test_a_deleted_recording_still_says_which_files_it_had() -> None:
    assert len(known_files(replace(READY, state=RecordingState.DELETED))) == 2


def test_encrypted_recordings_have_encrypted_files_only() -> None:
    mixed = result(facts(), {"a.webm.gpg": b"1", "a.webm": b"2"}, encrypted=True)

    assert names(finished(facts(), mixed)) == ["a.webm.gpg"]


@pytest.mark.parametrize(("output", "place"), [("merged", "a.webm"), ("split", "folder/a.webm")])
def test_split_output_lies_in_a_folder_below_the_destination(output: str, place: str) -> None:
    made = result(facts(), {"folder/a.webm": b"1"}, output=output)

    assert isinstance(made, Processed)
    assert place_below(made, made.files[0]) == place


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.webm", "video/webm"),
        ("a.WAV", "audio/wav"),
        ("a.json", "application/json"),
        ("a.webm.gpg", "application/pgp-encrypted"),
        ("a", "application/octet-stream"),
        ("a.html", "application/octet-stream"),
    ],
)
def test_the_type_follows_from_the_name(name: str, expected: str) -> None:
    assert media_type(name) == expected
