"""Start and stop by policy.md, read a second time: what the histories of a room must come to."""

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.intent import PendingKind
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.model.identity import Kind, Origin
from tests.helpers.rooms import ADMIN, ALICE, Call, who


class Oracle:
    """policy.md read a second time: what a start or a stop must come to."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.room = call.room

    def start(self, by: object) -> str | None:
        """The code of the refusal; None: it is taken up."""
        return self._common(by) or self._grant() or self._state()

    def begins_by_itself(self) -> bool:
        """Whether establishment starts segment 1."""
        room, policy = self.room, self.call.policy
        if room.kind is Kind.PUBLIC or not policy.record_at_start:
            return False
        if room.origin is Origin.PSTN:
            return policy.record_incoming_pstn
        asked = room.kind is Kind.DIRECT if room.flag is None else room.flag
        stored = self.call.permissions.user or self.call.permissions.domain
        profile = stored.recording_profile.value if stored else "always"
        recorded = stored.recording_type if stored else policy.system
        return asked and profile == "always" and recorded != "none"

    def _common(self, by: object) -> str | None:
        asker = who(by)  # type: ignore[arg-type]  # a user or a requester
        room = self.room
        unknown = self._exists(asker)
        if unknown is not None:
            return unknown
        if not asker.service and not any(each.key == asker.key for each in room.participants):
            return "NOT_IN_ROOM"
        if room.kind is Kind.PUBLIC:
            return "PUBLIC_ROOM"
        if room.origin is Origin.PSTN:
            return "PSTN_ROOM"
        return None if asker.service or asker.key == ALICE else "NOT_ROOM_OWNER"

    def _exists(self, asker: Requester) -> str | None:
        room = self.room
        present = any(each.key == asker.key for each in room.participants)
        took_part = asker.key in room.members
        admin = asker.admin and asker.key.domain == room.domain
        knows = asker.service or asker.key == ALICE or present or admin
        if not knows and not (room.life is Life.ENDED and took_part):
            return "ROOM_NOT_FOUND"
        return "ROOM_ENDED" if room.life is Life.ENDED else None

    def _grant(self) -> str | None:
        stored = self.call.permissions.user or self.call.permissions.domain
        policy = self.call.policy
        profiles = {"always", "optional"} if policy.optional_allows_manual else {"always"}
        profile = stored.recording_profile.value if stored else "always"
        recorded = stored.recording_type if stored else policy.system
        return None if profile in profiles and recorded != "none" else "NOT_PERMITTED"

    def _state(self) -> str | None:
        room = self.room
        if room.life is Life.WAITING:
            return "NOT_ESTABLISHED"
        stops = any(each.want is PendingKind.STOP for each in room.waiting)
        if room.capture in (Phase.STARTING, Phase.RECORDING) and not stops:
            return "ALREADY_RECORDING"
        if 0 < self.call.rules.limits.max_room_ms <= self.call.recorded_ms:
            return "RECORDING_LIMIT"
        return "OVERLOADED" if room.halted or len(room.waiting) >= 16 else None

    def stop(self, by: object) -> str | None:
        """The code of the refusal of a stop at once; None: it is taken up."""
        asker = who(by)  # type: ignore[arg-type]  # a user or a requester
        return self._exists(asker) or self._may_stop(asker) or self._something_to_stop()

    def _may_stop(self, asker: Requester) -> str | None:
        room = self.room
        if room.kind is Kind.PUBLIC:
            return "PUBLIC_ROOM"
        if asker.service or asker == ADMIN:
            return None
        if room.origin is Origin.PSTN:
            return "PSTN_ROOM"
        by_all = self.call.policy.stop_by.value == "participants"
        here = any(each.key == asker.key for each in room.participants)
        return None if asker.key == ALICE or (by_all and here) else "NOT_ROOM_OWNER"

    def _something_to_stop(self) -> str | None:
        room = self.room
        if room.capture is Phase.IDLE and room.wanted is None:
            return "NOT_RECORDING"
        waits = room.capture is not Phase.IDLE
        return "OVERLOADED" if waits and len(room.waiting) >= 16 else None
