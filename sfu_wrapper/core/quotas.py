"""Limits on what one user, one domain or one room may occupy (protocol.md, "Quotas").

Pure: the caller counts, a function here compares and raises ``Refused`` (QUOTA_EXCEEDED). A limit
of 0 means that there is none. Every check is O(1): none walks rooms, people or segments.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import RoomId, UserKey

MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Quotas:
    """The configured limits; 0: none.

    Attributes:
        max_invited: people on the list of one room.
        max_participants: people in one room at the same time.
        rooms_per_user: rooms of one owner that have not ended, pstn rooms not counted.
        rooms_per_domain: rooms of one domain that have not ended.
        rooms_per_minute: rooms created for one owner within a minute, pstn rooms not counted.
        segments_per_minute: segments that one room begins within a minute.
    """

    max_invited: int = 0
    max_participants: int = 0
    rooms_per_user: int = 0
    rooms_per_domain: int = 0
    rooms_per_minute: int = 0
    segments_per_minute: int = 0


def require_invited(quotas: Quotas, count: int) -> None:
    """Accept a list of so many invited people."""
    if _exceeded(quotas.max_invited, count):
        advice = "invite fewer people, or leave `invited` out so that the whole domain may join"
        raise _exceeds("rooms.maxInvited", quotas.max_invited, "people are invited", advice)


def require_participants(quotas: Quotas, count: int, room: RoomId) -> None:
    """Accept so many people in one room, the next one included."""
    if _exceeded(quotas.max_participants, count):
        limit = quotas.max_participants
        advice = "wait until a participant leaves"
        raise _exceeds("rooms.maxParticipants", limit, "people are in the room", advice, room=room)


def require_rooms(quotas: Quotas, *, of_owner: int, of_domain: int) -> None:
    """Accept one more living room.

    Args:
        of_owner, of_domain: living rooms without the new one.
    """
    if _exceeded(quotas.rooms_per_user, of_owner + 1):
        advice = "end one of the owner's rooms first"
        limit = quotas.rooms_per_user
        raise _exceeds("quotas.roomsPerUser", limit, "rooms of this owner live", advice)
    if _exceeded(quotas.rooms_per_domain, of_domain + 1):
        advice = "end rooms of this domain first, or ask the operator to raise the quota"
        limit = quotas.rooms_per_domain
        raise _exceeds("quotas.roomsPerDomain", limit, "rooms of this domain live", advice)


def segment_wait_ms(earlier_ms: int, now_ms: int) -> int:
    """Return the ms until a room may start a segment by request; 0: it may now.

    Args:
        earlier_ms: wall time of the start that is as many starts back as the quota allows.
        now_ms: wall time. Where the clock was set back, earlier starts do not count.
    """
    return 0 if earlier_ms > now_ms else max(0, earlier_ms + MINUTE_MS - now_ms)


def too_many_segments(quotas: Quotas, wait_ms: int, room: RoomId) -> Refused:
    """Return the refusal of a segment that is started by hand before ``wait_ms`` have passed."""
    limit = quotas.segments_per_minute
    return _per_minute("quotas.segmentsPerMinute", limit, "segments", wait_ms, room=room)


def segment_spacing_ms(limit: int, wait_ms: int, last_ms: int, now_ms: int) -> int:
    """Return the delay of an automatic start, in ms; 0: none.

    An automatic start never waits for the whole minute: wanted recordings take place. While the
    quota is used up, two starts are a ``limit``-th of a minute apart, so that a media plane that
    loses every segment costs no more than the quota allows, and requested starts cannot delay
    automatic ones further.

    Args:
        limit: segments a minute.
        wait_ms: of ``segment_wait_ms``; 0: the quota is not used up.
        last_ms: wall time of the latest start.
        now_ms: wall time.
    """
    if wait_ms == 0:
        return 0
    return max(0, MINUTE_MS // limit - max(0, now_ms - last_ms))


class RecentRooms:
    """Rooms created within the last minute, counted by owner.

    Lost on a restart. Holds at most ``limit`` times for an owner, and no owner for longer than a
    minute.

    Args:
        limit: rooms a minute; 0: none.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._created: OrderedDict[UserKey, deque[int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._created)

    def note(self, owner: UserKey, now_ms: int) -> None:
        """Count one more room.

        Args:
            owner: the owner of the new room.
            now_ms: monotonic.

        Raises:
            Refused: QUOTA_EXCEEDED; then nothing is counted.
        """
        if self._limit == 0:
            return
        self._forget(now_ms)
        times = self._created.setdefault(owner, deque())
        while times and times[0] <= now_ms - MINUTE_MS:
            times.popleft()
        if len(times) >= self._limit:
            wait_ms = times[0] + MINUTE_MS - now_ms
            raise _per_minute("quotas.roomsPerMinute", self._limit, "rooms of this owner", wait_ms)
        times.append(now_ms)
        self._created.move_to_end(owner)

    def take_back(self, owner: UserKey) -> None:
        """Uncount the latest room of this owner: its creation was not stored."""
        times = self._created.get(owner)
        if times:
            times.pop()

    def _forget(self, now_ms: int) -> None:
        """Remove the owners who have created nothing for a minute; they are first."""
        while self._created:
            owner, times = next(iter(self._created.items()))
            if times and times[-1] > now_ms - MINUTE_MS:
                return
            del self._created[owner]


def _exceeded(limit: int, count: int) -> bool:
    return 0 < limit < count


def _exceeds(quota: str, limit: int, what: str, advice: str, **where: str) -> Refused:
    detail = f"quota {quota} exceeded: at most {limit} {what} at a time; {advice}"
    return Refused(Code.QUOTA_EXCEEDED, detail, quota=quota, limit=limit, **where)


def _per_minute(quota: str, limit: int, what: str, wait_ms: int, **where: str) -> Refused:
    retry_after = round(wait_ms / 1000, 3)
    detail = (
        f"quota {quota} exceeded: at most {limit} {what} a minute; try again in {retry_after} s"
    )
    return Refused(
        Code.QUOTA_EXCEEDED, detail, quota=quota, limit=limit, retryAfter=retry_after, **where
    )
