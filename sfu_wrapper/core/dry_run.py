"""Dry run of a permission: the meaning of a change for a call.

The decision table is applied once more to a room as it is stored, with the permissions of today and
with one of them changed. Both are beside the decision that was made at the time: what differs from
it under the permissions of today was changed since.

Source: policy.md, "Try a permission before it counts".
"""

from dataclasses import dataclass, replace

from sfu_wrapper.core.access import Subject
from sfu_wrapper.core.policy import Decision, PolicySettings, decide
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import OwnerPermissions, RecordingPermissions


@dataclass(frozen=True, slots=True)
class Change:
    """Permission to be stored for a user or a domain; None: to be removed."""

    subject: Subject
    permission: RecordingPermissions | None

    def applied(self, permissions: OwnerPermissions) -> OwnerPermissions:
        """Return the permissions of an owner with this change."""
        if self.subject.user is None:
            return replace(permissions, domain=self.permission)
        return replace(permissions, user=self.permission)


@dataclass(frozen=True, slots=True)
class Judged:
    """A call, with the decisions about it.

    Attributes:
        room: the room.
        then: the decision at the establishment; None: the room holds none.
        now: the decision under the permissions of today.
        would: the decision under the changed permission.
    """

    room: Room
    then: Decision | None
    now: Decision
    would: Decision

    @property
    def changed(self) -> bool:
        """True if the change records more or less, or lets a start by hand do so."""
        shown = [(each.automatic, each.allowed, each.type) for each in (self.now, self.would)]
        return shown[0] != shown[1]


def judge(
    room: Room, permissions: OwnerPermissions, change: Change, policy: PolicySettings
) -> Judged | None:
    """Return a call with its decisions; None where the change is not about its owner, or no call.

    Args:
        room: the room; one that was never established is no call.
        permissions: permissions of its owner that are stored today.
        change: the change to try.
        policy: the configuration of today.
    """
    subject = change.subject
    if room.established_ms is None or room.domain != subject.domain:
        return None
    if subject.user is not None and room.owner != subject.user:
        return None
    decisions = [
        decide(room.kind, room.origin, room.flag, each, policy)
        for each in (permissions, change.applied(permissions))
    ]
    return Judged(room, room.decision, *decisions)
