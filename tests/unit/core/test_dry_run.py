"""What a changed permission would have meant for a call."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.access import Subject
from sfu_wrapper.core.dry_run import Change, judge
from sfu_wrapper.core.policy import PolicySettings, PstnConflict, decide
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)
from tests.helpers import rooms

TYPES, PROFILES = st.sampled_from(RecordingType), st.sampled_from(RecordingProfile)
PERMISSIONS = st.none() | st.builds(RecordingPermissions, TYPES, PROFILES)
STORED = st.builds(OwnerPermissions, PERMISSIONS, PERMISSIONS)
POLICIES = st.builds(
    PolicySettings,
    TYPES,
    st.booleans(),
    st.booleans(),
    st.sampled_from(PstnConflict),
    st.booleans(),
)
CALL = rooms.automatic().room
ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
OF_OWNER = Subject(CALL.domain, CALL.owner)


@st.composite
def calls(draw: st.DrawFn) -> Room:
    """A call of any kind, origin and flag."""
    return replace(
        CALL,
        kind=draw(st.sampled_from(Kind)),
        origin=draw(st.sampled_from(Origin)),
        flag=draw(st.none() | st.booleans()),
    )


@given(calls(), STORED, POLICIES)
def test_a_permission_that_is_stored_already_changes_nothing(
    call: Room, stored: OwnerPermissions, policy: PolicySettings
) -> None:
    for subject, same in ((OF_OWNER, stored.user), (Subject(CALL.domain), stored.domain)):
        judged = judge(call, stored, Change(subject, same), policy)
        assert judged is not None
        assert not judged.changed


@given(calls(), STORED, PERMISSIONS, POLICIES)
def test_it_is_what_the_policy_decides_once_the_permission_is_stored(
    call: Room,
    stored: OwnerPermissions,
    wanted: RecordingPermissions | None,
    policy: PolicySettings,
) -> None:
    judged = judge(call, stored, Change(OF_OWNER, wanted), policy)
    after = replace(stored, user=wanted)

    assert judged is not None
    assert judged.would == decide(call.kind, call.origin, call.flag, after, policy)
    assert judged.now == decide(call.kind, call.origin, call.flag, stored, policy)


def test_a_change_of_the_domain_counts_for_owners_without_their_own() -> None:
    change = Change(Subject(CALL.domain), ALWAYS)
    own = OwnerPermissions(RecordingPermissions(RecordingType.ALL, RecordingProfile.SKIP))
    without = judge(CALL, OwnerPermissions(), change, PolicySettings())
    judged = judge(CALL, own, change, PolicySettings())

    assert without is not None
    assert without.changed
    assert without.would.automatic
    assert judged is not None
    assert not judged.changed


def test_calls_of_others_and_rooms_without_a_call_are_not_judged() -> None:
    stored, policy = OwnerPermissions(), PolicySettings()
    others = Subject(CALL.domain, UserId("bob")), Subject(DomainId("elsewhere"))
    for subject in others:
        assert judge(CALL, stored, Change(subject, ALWAYS), policy) is None
    never = replace(CALL, established_ms=None)
    assert judge(never, stored, Change(OF_OWNER, ALWAYS), policy) is None
