"""The decision table of policy.md on the machine alone: seventeen rows, each in every variant."""

from dataclasses import dataclass
from itertools import product

import pytest

from sfu_wrapper.core.effects import Started
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.policy import PolicySettings, Reason
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import Kind, Origin, OwnerPermissions, RecordingType, UserKey
from tests.helpers.rooms import ALICE, BOB, FORBIDDEN, SERVICE, Call, permitted

EITHER = (True, False)
ANY_FLAG = (True, False, None)
SEGMENT_1 = "segment 1"
NOTHING = "nothing"


@dataclass(frozen=True)
class Row:
    """One row of the table, in its own words."""

    room: str
    flag: tuple[bool | None, ...]
    at_start: tuple[bool, ...]
    incoming: tuple[bool, ...]
    grant: tuple[bool, ...]
    established: str
    owner: str
    other: str

    def __str__(self) -> str:
        return (
            f"{self.room} flag={_words(self.flag)} recordRecordingAtStart={_words(self.at_start)} "
            f"recordIncomingPSTN={_words(self.incoming)} G={_words(self.grant)}"
        )


def _words(values: tuple[bool | None, ...]) -> str:
    names = {True: "true", False: "false", None: "absent"}
    return (
        "any"
        if len(values) in (2, 3) and {*values} >= {True, False}
        else "|".join(names[each] for each in values)
    )


YES, NO, TICKED_BY_DEFAULT, UNTICKED = (True,), (False,), (True, None), (False, None)
OWNER_ONLY, RUNS, DENIED = "NOT_ROOM_OWNER", "ALREADY_RECORDING", "NOT_PERMITTED"
PUBLIC, PSTN = "PUBLIC_ROOM", "PSTN_ROOM"

TABLE = (
    Row("direct", TICKED_BY_DEFAULT, YES, EITHER, YES, SEGMENT_1, RUNS, OWNER_ONLY),
    Row("direct", TICKED_BY_DEFAULT, YES, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("direct", NO, YES, EITHER, YES, NOTHING, SEGMENT_1, OWNER_ONLY),
    Row("direct", NO, YES, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("direct", ANY_FLAG, NO, EITHER, YES, NOTHING, SEGMENT_1, OWNER_ONLY),
    Row("direct", ANY_FLAG, NO, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("meeting", YES, YES, EITHER, YES, SEGMENT_1, RUNS, OWNER_ONLY),
    Row("meeting", YES, YES, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("meeting", UNTICKED, YES, EITHER, YES, NOTHING, SEGMENT_1, OWNER_ONLY),
    Row("meeting", UNTICKED, YES, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("meeting", ANY_FLAG, NO, EITHER, YES, NOTHING, SEGMENT_1, OWNER_ONLY),
    Row("meeting", ANY_FLAG, NO, EITHER, NO, NOTHING, DENIED, OWNER_ONLY),
    Row("public", ANY_FLAG, EITHER, EITHER, EITHER, NOTHING, PUBLIC, PUBLIC),
    Row("pstn", ANY_FLAG, YES, YES, EITHER, SEGMENT_1, PSTN, PSTN),
    Row("pstn", ANY_FLAG, YES, NO, EITHER, NOTHING, PSTN, PSTN),
    Row("pstn", ANY_FLAG, NO, YES, EITHER, "nothing (PSTN_CONFLICT)", PSTN, PSTN),
    Row("pstn", ANY_FLAG, NO, NO, EITHER, NOTHING, PSTN, PSTN),
)
KINDS = {
    "direct": (Kind.DIRECT, Origin.INTERNAL),
    "meeting": (Kind.MEETING, Origin.INTERNAL),
    "public": (Kind.PUBLIC, Origin.INTERNAL),
    "pstn": (Kind.DIRECT, Origin.PSTN),
}
# What a grant may come from; each records, or does not.
GRANTS: dict[bool, tuple[OwnerPermissions, ...]] = {
    True: (permitted(), OwnerPermissions(domain=permitted().user)),
    False: (FORBIDDEN, permitted(RecordingType.NONE), OwnerPermissions()),
}


def calls(row: Row) -> list[Call]:
    """An established call for every variant of the row."""
    variants = product(row.flag, row.at_start, row.incoming, row.grant)
    found = []
    for flag, at_start, incoming, grant in variants:
        policy = PolicySettings(record_at_start=at_start, record_incoming_pstn=incoming)
        for permissions in GRANTS[grant]:
            call = Call(*KINDS[row.room], flag=flag, policy=policy, permissions=permissions)
            call.join(ALICE, by=SERVICE)
            call.join(BOB, by=BOB)
            found.append(call)
    return found


def start(call: Call, by: UserKey) -> str:
    """What a start by hand comes to."""
    try:
        ref = call.start(by)
    except Refused as refused:
        return refused.code
    call.confirm()
    answer = call.answer(ref)
    assert isinstance(answer, Started)
    return f"segment {answer.segment.number}"


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_at_establishment(row: Row) -> None:
    for call in calls(row):
        numbers = [segment.number for segment in call.room.segments]
        decision = call.room.decision

        assert numbers == ([1] if row.established == SEGMENT_1 else [])
        assert call.room.capture is (Phase.STARTING if numbers else Phase.IDLE)
        assert decision is not None
        assert decision.automatic is (row.established == SEGMENT_1)
        is_conflict = decision.reason is Reason.PSTN_CONFLICT
        assert is_conflict is (row.established == "nothing (PSTN_CONFLICT)")


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_owner_starts(row: Row) -> None:
    for call in calls(row):
        assert start(call, ALICE) == row.owner


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_another_starts(row: Row) -> None:
    for call in calls(row):
        assert start(call, BOB) == row.other


def test_the_table_covers_every_combination_once() -> None:
    covered = [
        (row.room, *variant)
        for row in TABLE
        for variant in product(row.flag, row.at_start, row.incoming, row.grant)
    ]

    assert len(TABLE) == 17
    assert sorted(covered, key=str) == sorted(
        product(KINDS, ANY_FLAG, EITHER, EITHER, EITHER), key=str
    )
