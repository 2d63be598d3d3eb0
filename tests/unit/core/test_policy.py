"""Who is recorded, and why (policy.md)."""

from itertools import product

import pytest

from sfu_wrapper.core.policy import (
    Decision,
    PolicySettings,
    PstnConflict,
    Reason,
    Source,
    asks,
    decide,
    grant,
)
from sfu_wrapper.model.identity import (
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
)
from tests.helpers.rooms import FORBIDDEN, permitted

STORED = (None, *(RecordingPermissions(*pair) for pair in product(RecordingType, RecordingProfile)))


def decision(
    permissions: OwnerPermissions | None = None,
    *,
    kind: Kind = Kind.DIRECT,
    origin: Origin = Origin.INTERNAL,
    flag: bool | None = None,
    system: RecordingType = RecordingType.NONE,
    at_start: bool = True,
    incoming: bool = False,
    conflict: PstnConflict = PstnConflict.WARN,
    optional_by_hand: bool = False,
) -> Decision:
    stored = OwnerPermissions() if permissions is None else permissions
    settings = PolicySettings(system, at_start, incoming, conflict, optional_by_hand)
    return decide(kind, origin, flag, stored, settings)


@pytest.mark.parametrize("system", RecordingType)
@pytest.mark.parametrize("user", STORED)
def test_the_first_level_that_says_anything_rules_whole(
    user: RecordingPermissions | None, system: RecordingType
) -> None:
    for domain in STORED:
        found = grant(OwnerPermissions(user, domain), system)

        rules = user or domain or RecordingPermissions(system, RecordingProfile.ALWAYS)
        level = Source.USER if user else Source.DOMAIN if domain else Source.SYSTEM
        assert (found.source, found.type, found.profile) == (
            level, rules.recording_type, rules.recording_profile,
        )  # fmt: skip
        assert found.records == (
            rules.recording_profile == "always" and rules.recording_type != "none"
        )


@pytest.mark.parametrize(
    ("kind", "flag", "counts"),
    [
        (Kind.DIRECT, None, True),
        (Kind.DIRECT, True, True),
        (Kind.DIRECT, False, False),
        (Kind.MEETING, None, False),
        (Kind.MEETING, True, True),
        (Kind.MEETING, False, False),
    ],
)
def test_an_absent_flag_means_yes_for_a_direct_call_only(
    kind: Kind, flag: bool | None, counts: bool
) -> None:
    assert asks(kind, flag) is counts


@pytest.mark.parametrize("recorded", [RecordingType.ALL, RecordingType.AUDIO, RecordingType.VIDEO])
def test_the_system_parameter_grants_starts_by_hand_too(recorded: RecordingType) -> None:
    found = decision(system=recorded, flag=False)

    assert found == Decision(True, False, recorded, Source.SYSTEM, Reason.NOT_ASKED)


@pytest.mark.parametrize(
    ("permissions", "reason"),
    [
        (OwnerPermissions(), Reason.NO_PERMISSION),
        (FORBIDDEN, Reason.PROFILE),
        (permitted(profile=RecordingProfile.OPTIONAL), Reason.PROFILE),
        (permitted(RecordingType.NONE, RecordingProfile.SKIP), Reason.PROFILE),
        (permitted(RecordingType.NONE), Reason.TYPE_NONE),
    ],
)
def test_a_grant_that_does_not_record_says_why(
    permissions: OwnerPermissions, reason: Reason
) -> None:
    found = decision(permissions)

    assert (found.allowed, found.automatic, found.reason) == (False, False, reason)
    assert found.type is RecordingType.NONE


def test_the_users_own_skip_outweighs_the_domains_always() -> None:
    both = OwnerPermissions(user=FORBIDDEN.user, domain=permitted().user)

    assert decision(both).source is Source.USER
    assert not decision(both).allowed


def test_what_was_not_asked_for_is_said_before_the_start_being_off() -> None:
    assert decision(permitted(), flag=False, at_start=False).reason is Reason.NOT_ASKED
    assert decision(permitted(), flag=True, at_start=False).reason is Reason.AT_START_OFF


def test_a_room_that_starts_by_itself_needs_no_reason() -> None:
    assert decision(permitted()) == Decision(True, True, RecordingType.ALL, Source.USER, None)


def test_optional_grants_a_start_by_hand_only_where_the_operator_says_so() -> None:
    optional = permitted(RecordingType.VIDEO, RecordingProfile.OPTIONAL)

    assert not decision(optional).allowed
    assert decision(optional, optional_by_hand=True) == Decision(
        True, False, RecordingType.VIDEO, Source.USER, Reason.PROFILE
    )


def test_optional_with_the_type_none_grants_nothing_at_all() -> None:
    nothing = permitted(RecordingType.NONE, RecordingProfile.OPTIONAL)

    assert not decision(nothing, optional_by_hand=True).allowed


def test_skip_is_not_optional() -> None:
    assert not decision(FORBIDDEN, optional_by_hand=True).allowed


def test_a_public_room_is_never_recorded_and_no_level_has_a_say() -> None:
    found = decision(permitted(), kind=Kind.PUBLIC, flag=True, system=RecordingType.ALL)

    assert found == Decision(False, False, RecordingType.NONE, None, Reason.PUBLIC_ROOM)


@pytest.mark.parametrize("flag", [True, False, None])
@pytest.mark.parametrize("permissions", [permitted(), FORBIDDEN, OwnerPermissions()])
def test_for_an_incoming_call_only_the_trunks_own_setting_counts(
    permissions: OwnerPermissions, flag: bool | None
) -> None:
    recorded = decision(permissions, origin=Origin.PSTN, flag=flag, incoming=True)
    left_alone = decision(permissions, origin=Origin.PSTN, flag=flag, system=RecordingType.ALL)

    assert recorded == Decision(False, True, RecordingType.ALL, Source.TRUNK, None)
    assert left_alone == Decision(False, False, RecordingType.NONE, Source.TRUNK, Reason.PSTN_OFF)


@pytest.mark.parametrize(
    ("conflict", "automatic", "reason"),
    [
        (PstnConflict.WARN, False, Reason.PSTN_CONFLICT),
        (PstnConflict.REFUSE, False, Reason.PSTN_CONFLICT),
        (PstnConflict.RECORD, True, None),
    ],
)
def test_the_pstn_conflict_is_settled_as_configured(
    conflict: PstnConflict, automatic: bool, reason: Reason | None
) -> None:
    found = decision(origin=Origin.PSTN, incoming=True, at_start=False, conflict=conflict)

    assert (found.automatic, found.reason, found.allowed) == (automatic, reason, False)


def test_record_in_a_conflict_does_not_override_incoming_calls_being_off() -> None:
    found = decision(origin=Origin.PSTN, at_start=False, conflict=PstnConflict.RECORD)

    assert found.reason is Reason.PSTN_OFF
