"""Evidence: what the document says of a recording, and what a check of it finds."""

import base64
import copy
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import Deletion, DeletionReason, RecordingState
from sfu_wrapper.model.segment import FileKind
from sfu_wrapper.wire.evidence import MAX_AT_ONCE, content_hash, evidence, signed
from sfu_wrapper.wire.evidence_check import (
    Checked,
    NamedFile,
    check_audit,
    check_file,
    named_files,
    read_document,
)
from tests.helpers.evidence import (
    KEY,
    LONG_MS,
    START_MS,
    address,
    audit_rows,
    content,
    failed,
    processed,
    recording,
    track,
)


def made(found: object = None, rows: int = 3) -> Any:  # noqa: ANN401 - JSON
    """The document, as a reader of JSON sees it."""
    which = recording(processed()) if found is None else found
    document = evidence(which, audit_rows(rows), address, "0.0", START_MS)  # type: ignore[arg-type]
    return json.loads(json.dumps(document))


def test_parties_are_the_owner_and_everyone_who_was_there_with_their_stays() -> None:
    document = made()

    assert [
        (each["name"], each["role"], each["meta"]["domain"]) for each in document["parties"]
    ] == [
        ("alice", "owner", "example"),
        ("bob", "participant", "other"),
    ]
    history = document["dialog"][0]["party_history"]
    assert [(each["party"], each["event"]) for each in history] == [
        (0, "join"), (1, "join"), (1, "drop"), (1, "join"), (0, "drop"),
    ]  # fmt: skip
    assert history[2]["time"] == "2020-09-13T12:26:45.000Z"


def test_dialog_are_the_media_files_with_hash_and_address() -> None:
    (dialog,) = made()["dialog"]

    digest = hashlib.sha256(content("call.webm")).digest()
    assert (
        dialog["content_hash"] == f"sha256-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
    )
    assert (dialog["filename"], dialog["mediatype"]) == ("call.webm", "video/webm")
    assert dialog["url"] == address("call.webm")
    assert (dialog["start"], dialog["duration"]) == ("2020-09-13T12:26:40.000Z", LONG_MS / 1000)
    assert dialog["meta"] == {"room": "weekly", "uuid": KEY.uuid, "segment": KEY.segment}


def test_other_files_are_attached_as_are_the_decision_and_the_audit_entries() -> None:
    poster, decision, audit = made()["attachments"]

    assert (poster["purpose"], poster["mediatype"]) == ("poster", "image/jpeg")
    assert decision["body"]["by"] == "alice"
    assert decision["body"]["decision"]["reason"] == "NOT_ASKED"
    assert [entry["number"] for entry in audit["body"]] == [1, 2, 3]


def test_analysis_has_positions_intervals_and_what_is_missing() -> None:
    analysis = {each["type"]: each["body"] for each in made()["analysis"]}

    assert analysis["sync"]["warnings"] == ["a camera froze"]
    assert [(each["startMs"], each["stopMs"]) for each in analysis["intervals"]] == [
        (0, 10_000), (10_000, 30_000), (30_000, 60_000),
    ]  # fmt: skip
    assert [len(each["tracks"]) for each in analysis["intervals"]] == [1, 2, 1]
    assert analysis["missing-media"]["media"] == ["audio"]
    assert analysis["missing-media"]["files"][0]["filename"] == "c.mjr"


def test_intervals_of_a_crowd_are_left_out() -> None:
    crowd = tuple(track(f"{n}.mjr", Stream.CAMERA, n, 1_000) for n in range(MAX_AT_ONCE + 1))
    analysis = made(recording(replace(processed(), sync=crowd)))["analysis"]

    assert [each["type"] for each in analysis] == ["sync", "missing-media"]


def test_an_encrypted_file_has_the_media_type_of_its_content() -> None:
    names = {"call.webm.gpg": FileKind.MERGED}
    (dialog,) = made(recording(processed(names, encrypted=True)))["dialog"]

    assert (dialog["filename"], dialog["mediatype"]) == ("call.webm.gpg", "video/webm")


def test_a_file_in_object_storage_names_its_object() -> None:
    kept = processed()
    files = tuple(
        replace(file, url=f"s3://recordings/{file.filename.rpartition('/')[2]}")
        for file in kept.files
    )

    found = made(recording(replace(kept, files=files)))

    named = [each["meta"]["object"] for each in found["dialog"]]
    assert named == [f"s3://recordings/{each['filename']}" for each in found["dialog"]]
    assert {each["meta"]["room"] for each in found["dialog"]} == {"weekly"}


def test_a_deleted_recording_keeps_its_hashes_and_has_no_addresses() -> None:
    gone = replace(
        recording(processed(), RecordingState.DELETED),
        deletion=Deletion(DeletionReason.REQUESTED, START_MS, None, START_MS),
    )
    document = made(gone)

    assert "content_hash" in document["dialog"][0]
    assert "url" not in document["dialog"][0]
    assert [each["purpose"] for each in document["attachments"]] == ["decision", "audit"]


def test_a_failed_recording_has_no_files_and_says_why() -> None:
    document = made(recording(failed(), RecordingState.FAILED, decision=None, duration_ms=None))

    assert document["dialog"][0]["type"] == "incomplete"
    assert document["analysis"][-1]["body"]["code"] == "MUX_FAILED"
    assert document["attachments"][0]["body"]["decision"] is None


def test_two_documents_about_one_recording_have_one_uuid() -> None:
    assert made()["uuid"] == made(recording())["uuid"]


# The check


def refuse(_: str) -> bytes:
    raise Malformed("the signature does not verify")


def payload(compact: str) -> bytes:
    part = compact.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def wrapped(document: object) -> bytes:
    body = base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
    return json.dumps(signed(f"e30.{body}.c2ln", made())).encode()


def problems(document: object) -> list[str]:
    return [str(each) for each in check_audit(document) if each.problem]  # type: ignore[arg-type]


def test_the_signed_form_is_opened_with_and_without_a_key() -> None:
    text = wrapped(made())

    assert read_document(text, payload, payload) == (made(), Checked("signature"))
    assert str(read_document(text, None, payload)[1]) == "signature: not checked without --key"
    document, found = read_document(text, refuse, payload)
    assert (document, found.problem) == (made(), "the signature does not verify")


def test_a_document_without_signature_is_one_only_for_readers_without_a_key() -> None:
    text = json.dumps(made()).encode()

    document, found = read_document(text, None, payload)
    assert (document, str(found)) == (made(), "signature: there is none")
    assert read_document(text, payload, payload)[1].problem == "the document is not signed"


@pytest.mark.parametrize(
    "text", [b"nonsense", b"[]", b'{"signatures":[]}', b'{"payload":"e30","signatures":[1]}']
)
def test_what_is_no_vcon_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        read_document(text, None, payload)


def test_files_are_compared_by_their_hash() -> None:
    named = list(named_files(made()))
    assert [each.name for each in named if isinstance(each, NamedFile)] == ["call.webm", "call.jpg"]
    file = NamedFile("call.webm", hashlib.sha256(content("call.webm")).hexdigest())
    assert named[0] == file

    assert check_file(file, file.sha256).problem is None
    assert "was changed" in str(check_file(file, "00" * 32))
    assert "not found" in str(check_file(file, None))


@pytest.mark.parametrize(
    "name", ["../call.webm", "/etc/passwd", "..", "", None, 7, "a.webm: ok\nb", "\x1b[2Ja"]
)
def test_names_that_lead_out_of_the_folder_are_problems(name: object) -> None:
    document = made()
    document["dialog"][0]["filename"] = name
    first, *_ = named_files(document)

    assert isinstance(first, Checked)
    assert first.problem == "its name is not a plain file name"


def test_other_hashes_than_sha_256_are_problems() -> None:
    document = made()
    document["dialog"][0]["content_hash"] = "md5-abc"
    first, *_ = named_files(document)

    assert str(first) == "file call.webm: its content_hash is not a SHA-256"


def test_sound_audit_entries_have_no_problem_even_with_others_between_them() -> None:
    document = made(rows=5)
    assert problems(document) == []
    del document["attachments"][-1]["body"][2]
    assert problems(document) == [], "entries about other recordings are not in the document"
    assert problems(made(rows=0)) == ["audit entries: there are none"]


def changed(field: str, value: object) -> Any:  # noqa: ANN401 - JSON
    document = copy.deepcopy(made())
    document["attachments"][-1]["body"][1][field] = value
    return document


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor", "mallory"),
        ("previous", "zz"),
        ("previous", "00"),
        ("hash", "00" * 32),
        ("number", "2"),
    ],
)
def test_a_changed_audit_entry_is_named(field: str, value: object) -> None:
    (first, *_) = problems(changed(field, value))

    assert re.match("audit entry (at place )?2: it was changed", first)


@pytest.mark.parametrize("missing", [("hash", "previous"), ("hash",), ("previous",)])
def test_an_audit_entry_without_its_hash_is_no_sound_one(missing: tuple[str, ...]) -> None:
    document = made()
    for entry in document["attachments"][-1]["body"]:
        for field in missing:
            del entry[field]

    assert len(problems(document)) == 3


def test_an_audit_entry_cannot_write_lines_of_its_own() -> None:
    (line,) = problems(changed("number", "2: ok\nsignature"))

    assert (
        line == "audit entry at place 2: it was changed: its hash does not follow from its content"
    )


def test_entries_of_another_chain_or_order_are_named() -> None:
    document, other = made(), made()
    entries = document["attachments"][-1]["body"]
    entries[0]["actor"] = "carol"
    entries[0]["hash"] = _rehash(entries[0])
    assert problems(document) == ["audit entry 2: it does not follow entry 1"]
    body = other["attachments"][-1]["body"]
    body.reverse()
    assert "audit entry 2: it is out of order" in problems(other)


def _rehash(entry: dict[str, object]) -> str:
    plain = {key: value for key, value in entry.items() if key not in ("hash", "previous")}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_parts_of_another_form_are_refused_and_not_passed_over() -> None:
    with pytest.raises(Malformed, match="not an object"):
        list(named_files({"dialog": [7]}))
    assert list(named_files({"dialog": "none"})) == []


def test_a_content_hash_is_that_of_the_draft() -> None:
    assert content_hash("00" * 32) == "sha256-" + "A" * 43
