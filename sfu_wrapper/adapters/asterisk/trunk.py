"""Legs of trunk calls: announced, in a conference, or ended.

The dialplan announces a call (UserEvent IncomingTrunkCall) before it puts the leg into its
conference. Asterisk replays no events after a lost link, so ``present_calls`` lists the
conferences: a leg from the trunk's context counts as a call even if it was never announced. So does
one that enters a conference after the list, since its announcement may have come before the link.
"""

import logging
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, Declined, Message
from sfu_wrapper.adapters.asterisk.folder import is_safe
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.ports.media_plane import (
    CallArrived,
    CallEntered,
    CallLeft,
    CallNews,
    CallsPresent,
    TrunkCall,
)

log = logging.getLogger(__name__)

_EVENT: Final = "IncomingTrunkCall"
_LEGS: Final = 10_000  # announced calls that are remembered
_NONE: Final = ("No active conferences.",)


class TrunkLine:
    """State of all legs.

    Args:
        context: Dialplan context that answers the trunk's calls.
    """

    def __init__(self, context: str) -> None:
        self._context = context
        self._calls: dict[str, TrunkCall] = {}
        self._channels: dict[str, str] = {}
        self._coming: dict[str, str] = {}

    def handle_event(self, message: Message) -> tuple[CallNews, ...]:
        """Apply an event and return the news about calls."""
        call_id = message.get("Uniqueid")
        match message.event:
            case "UserEvent" if message.get("UserEvent") == _EVENT:
                return self._announced(message)
            case "ConfbridgeJoin" if self._is_call(message):
                return self._entered(message)
            case "ConfbridgeLeave" if call_id in self._calls:
                self._calls.pop(call_id)
                self._coming.pop(call_id, None)
                self._channels.pop(call_id, None)
                return (CallLeft(call_id),)
            case _:
                return ()

    async def present_calls(self, ami: Ami) -> CallsPresent | None:
        """Return the calls that are present now; None if they cannot be listed."""
        try:
            legs = await _legs(ami)
        except (Declined, Unavailable) as error:
            log.warning("asterisk.listFailed", extra={"error": error.detail})
            return None
        present = {}
        for leg in legs:
            call_id = leg.get("Uniqueid")
            if self._is_call(leg):
                call = self._calls.get(call_id) or _call(leg, leg.get("CallerIDNum"), "Exten")
                if call is not None:
                    present[call_id] = call
                    self._channels[call_id] = leg.get("Channel")
        # An announced leg that is not in a conference yet may be on its way.
        coming = {c: call for c, call in self._calls.items() if c not in self._channels}
        self._calls = coming | present
        self._channels = {c: name for c, name in self._channels.items() if c in present}
        self._coming = {c: name for c, name in self._coming.items() if c in coming}
        return CallsPresent(tuple(present.values()))

    def channel(self, call_id: str) -> str | None:
        """Return Asterisk's channel of a leg; None if it is neither in a conference nor coming."""
        return self._channels.get(call_id) or self._coming.get(call_id)

    def _is_call(self, leg: Message) -> bool:
        return leg.get("Uniqueid") in self._calls or leg.get("Context") == self._context

    def _entered(self, leg: Message) -> tuple[CallNews, ...]:
        """Note that a leg is in its conference; its announcement may have had no link."""
        call_id = leg.get("Uniqueid")
        arrived: tuple[CallNews, ...] = ()
        if call_id not in self._calls:
            arrived = self._arrived(leg, _call(leg, leg.get("CallerIDNum"), "Exten"))
            if not arrived:
                return ()
        self._coming.pop(call_id, None)
        self._channels[call_id] = leg.get("Channel")
        return (*arrived, CallEntered(call_id))

    def _announced(self, message: Message) -> tuple[CallNews, ...]:
        caller = message.get("CallerNum") or message.get("CallerIDNum")
        return self._arrived(message, _call(message, caller, "Did"))

    def _arrived(self, message: Message, call: TrunkCall | None) -> tuple[CallNews, ...]:
        if call is None:
            extra = {"conference": message.get("ConferenceId"), "call": message.get("Uniqueid")}
            log.warning("asterisk.callInvalid", extra=extra)
            return ()
        while len(self._calls) >= _LEGS:
            oldest = next(iter(self._calls))
            self._calls.pop(oldest)
            self._coming.pop(oldest, None)
        self._calls[call.id] = call
        self._coming[call.id] = message.get("Channel")
        return (CallArrived(call),)


def _call(message: Message, caller: str, called: str) -> TrunkCall | None:
    """Return the call of a leg; None if its ids are not allowed in files and requests."""
    call_id = message.get("Uniqueid")
    conference = message.get("ConferenceId") or message.get("Conference")
    if not is_safe(call_id) or not is_safe(conference):
        return None
    invited = message.get("Invite").replace(",", " ").split()
    return TrunkCall(
        id=call_id,
        conference=ConfbridgeId(conference),
        caller="" if caller == "<unknown>" else caller,
        called=message.get(called),
        room_id=message.get("RoomId") or None,
        invited=tuple(invited) or None,
    )


async def _legs(ami: Ami) -> list[Message]:
    """Return the legs in all conferences. Raises Declined, Unavailable."""
    try:
        rooms = await ami.act("ConfbridgeListRooms")
    except Declined as declined:
        if declined.detail in _NONE:
            return []
        raise
    legs: list[Message] = []
    for room in rooms.listed:
        try:
            answer = await ami.act("ConfbridgeList", ("Conference", room.get("Conference")))
        except Declined:
            continue  # the conference has just ended
        legs.extend(answer.listed)
    return legs
