"""Bodies of the HTTP interface."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sfu_wrapper.core.policy import Grant, PolicySettings, Source, decide
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.wire.rest import (
    DecisionModel,
    Effective,
    PermissionBody,
    Problem,
    RoomPage,
    decision_json,
    effective_json,
    page_json,
    parse_permission,
    permission_json,
    problem_json,
    problem_schema,
)
from sfu_wrapper.wire.strict_json import dump

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
PERMISSIONS = st.builds(
    RecordingPermissions, st.sampled_from(RecordingType), st.sampled_from(RecordingProfile)
)
ROOM = Room(
    uuid=RoomUuid("u1"),
    id=RoomId("60315b4f"),
    confbridge_id=ConfbridgeId("c1"),
    kind=Kind.DIRECT,
    origin=Origin.INTERNAL,
    domain=DomainId("example"),
    owner=UserId("alice"),
    flag=None,
    created=Instant(1_590_392_548_633, 0),
)


@given(PERMISSIONS)
def test_what_is_written_is_read_again(permission: RecordingPermissions) -> None:
    body = dump(permission_json(permission))

    assert parse_permission(body) == permission
    PermissionBody.model_validate_json(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", ""),
        (b'"all"', ""),
        (b"{}", "recording"),
        (b'{"recording": null}', "recording"),
        (b'{"recording": {"recordingType": "all"}}', "recording.recordingProfile"),
        (b'{"recording": {"recordingProfile": "skip"}}', "recording.recordingType"),
        (
            b'{"recording": {"recordingType": "ALL", "recordingProfile": "skip"}}',
            "recording.recordingType",
        ),
        (
            b'{"recording": {"recordingType": 1, "recordingProfile": "skip"}}',
            "recording.recordingType",
        ),
        (
            b'{"recording": {"recordingType": "all", "recordingProfile": "skip"}, "domainId": "x"}',
            "domainId",
        ),
        (
            b'{"recording": {"recordingType": "all", "recordingProfile": "skip", "isAdmin": true}}',
            "recording.isAdmin",
        ),
        (
            b'{"recording": {"recording_type": "all", "recordingProfile": "skip"}}',
            "recording.recordingType",
        ),
    ],
)
def test_a_wrong_body_names_its_first_wrong_field(body: bytes, path: str) -> None:
    with pytest.raises(Malformed) as malformed:
        parse_permission(body)

    assert malformed.value.context["path"] == path
    assert "pydantic" not in malformed.value.detail


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"recording": {}, "recording": {}}', b"\xff", b"[" * 100]
)
def test_what_is_no_json_of_one_meaning_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_permission(body)


def test_the_grant_is_shown_with_its_level() -> None:
    grant = Grant(Source.DOMAIN, RecordingType.AUDIO, RecordingProfile.ALWAYS)
    shown = effective_json(ROOM.owner_key, grant)

    assert shown == {
        "user": "alice",
        "domain": "example",
        "recording": {"recordingType": "audio", "recordingProfile": "always"},
        "source": "domain",
        "records": True,
    }
    Effective.model_validate_json(dump(shown))


def test_a_decision_names_who_may_start_and_why_it_does_not_start_itself() -> None:
    refused = decision_json(ROOM, OwnerPermissions(), PolicySettings())
    allowed = decision_json(ROOM, OwnerPermissions(user=ALWAYS), PolicySettings())

    assert refused["startBy"] is None
    assert refused["now"] == {
        "allowed": False,
        "automatic": False,
        "type": "none",
        "source": "system",
        "reason": "NO_PERMISSION",
    }
    assert allowed["startBy"] == "alice"
    assert allowed["now"] == {"allowed": True, "automatic": True, "type": "all", "source": "user"}
    assert allowed["established"] is None
    for shown in (refused, allowed):
        DecisionModel.model_validate_json(dump(shown))


def test_the_decision_at_establishment_stays_beside_that_of_now() -> None:
    then = decide(ROOM.kind, ROOM.origin, ROOM.flag, OwnerPermissions(ALWAYS), PolicySettings())
    shown = decision_json(replace(ROOM, decision=then), OwnerPermissions(), PolicySettings())

    assert shown["established"] == {
        "allowed": True,
        "automatic": True,
        "type": "all",
        "source": "user",
    }
    DecisionModel.model_validate_json(dump(shown))


def test_a_page_names_the_next_one_where_there_is_one() -> None:
    assert page_json([], None) == {"rooms": []}
    assert page_json([], "1.u1") == {"rooms": [], "next": "1.u1"}
    RoomPage.model_validate_json(dump(page_json([], "1590392548633.u1")))


def test_problems_are_described_as_they_are_written() -> None:
    shown = problem_json(404, "Not Found", "NOT_FOUND", "there is nothing", {"room": "x"})

    Problem.model_validate_json(dump(shown))
    described = problem_schema()["required"]
    assert isinstance(described, list)
    assert set(described) == set(shown)


def test_a_user_key_is_all_that_effective_needs() -> None:
    key = UserKey(DomainId("d"), UserId("u"))
    grant = Grant(Source.SYSTEM, RecordingType.NONE, RecordingProfile.ALWAYS)

    assert effective_json(key, grant)["records"] is False


def test_of_many_unknown_fields_only_the_first_is_an_error() -> None:
    given = permission_json(ALWAYS) | {f"x{number}": 1 for number in range(4000)}
    with pytest.raises(ValidationError) as refused:
        PermissionBody.model_validate(given)

    assert refused.value.error_count() == 1


def test_a_body_of_much_structure_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))
    with pytest.raises(Malformed, match="commas"):
        parse_permission(b"[" * 300)
