"""One file that a conference is recorded to, and the asking for it.

Asterisk's ``Success`` is not believed: a recording is one once its ``ConfbridgeRecord`` was heard
and its file is there; it has ended once ``ConfbridgeStopRecord`` was heard and the file is whole.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, Declined
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.adapters.asterisk.messages import Message
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import ConfbridgeId

log = logging.getLogger(__name__)

CONFIRMED_WITHIN_S: Final = 2.0
WHOLE_WITHIN_S: Final = 2.0  # a few ms as a rule

_NOBODY: Final = ("No active conferences.", "No Conference by that name found.")
_ALREADY: Final = "Conference is already being recorded."


class Outcome(StrEnum):
    """What asking for a recording came to."""

    RECORDING = "recording"
    NOBODY = "nobody"  # there is no such conference while nobody is in it
    REFUSED = "refused"
    OTHERS = "others"  # it is recorded already, to some other file
    UNKNOWN = "unknown"  # no answer: it may have been carried out


@dataclass(slots=True)
class RecordingFile:
    """One file.

    recorded_ms, ceased_ms: when Asterisk began and ended it, by its own clock, once that was heard.
    unanswered: it was asked for and may have been carried out.
    bridge: Asterisk's id of the conference that is recorded; one that begins again under the same
        name has another.
    left: the conference ended first, since nobody was in it any more.
    message: why it was refused.
    """

    name: str
    recorded_ms: int | None = None
    ceased_ms: int | None = None
    unanswered: bool = False
    bridge: str = ""
    left: bool = False
    message: str = ""


class ConferenceRecorder:
    """Starts and stops the recording of one conference. now_ms: for events without a time."""

    def __init__(self, ami: Ami, folder: Folder, now_ms: Callable[[], int]) -> None:
        self._ami = ami
        self._folder = folder
        self._now_ms = now_ms
        self._heard = asyncio.Event()
        self.take: RecordingFile | None = None

    def hear(self, message: Message) -> None:
        """Note what an event says of the running take."""
        take = self.take
        bridge = message.get("BridgeUniqueid")
        if take is None or (take.bridge and bridge and take.bridge != bridge):
            return  # another conference of that name, which ended before or began since
        at_ms = message.at_ms or self._now_ms()
        match message.event:
            case "ConfbridgeRecord" if take.recorded_ms is None:
                take.recorded_ms, take.bridge = at_ms, bridge
            case "ConfbridgeStopRecord" if take.recorded_ms is not None:
                take.ceased_ms = at_ms
            case "ConfbridgeEnd":
                take.left = True
            case _:
                return
        self._heard.set()

    async def record(self, conference: ConfbridgeId, take: RecordingFile) -> Outcome:
        """Ask for it, or ask again. ``take`` stands until it is refused or has ended."""
        self.take = take
        outcome = await self._ask(conference, take)
        if outcome not in (Outcome.RECORDING, Outcome.UNKNOWN):
            self.take = None
        return outcome

    async def end(self, conference: ConfbridgeId) -> bool:
        """Stop what runs and wait until its file is whole. False: not yet; ask again."""
        take = self.take
        if take is None:
            return True
        if take.ceased_ms is None and not await self._ask_to_end(conference, take):
            return False
        exists = take.recorded_ms is not None or await self._folder.holds(take.name)
        if exists and not await self._folder.becomes_whole(take.name, WHOLE_WITHIN_S):
            log.warning("asterisk.fileNotWhole", extra={"file": take.name})
            return False
        self.take = None
        return True

    async def is_empty(self, conference: ConfbridgeId) -> bool:
        """Whether nobody is in the conference, as far as can be found out."""
        if not await self._ami.is_up(CONFIRMED_WITHIN_S):
            return False
        try:
            await self._ami.act("ConfbridgeList", ("Conference", conference))
        except Declined as declined:
            return declined.detail in _NOBODY
        except Unavailable:
            pass
        return False

    async def stop_blindly(self, conference: ConfbridgeId) -> bool:
        """End what is recorded there, whatever it is. False: nobody answered."""
        try:
            await self._ami.act("ConfbridgeStopRecord", ("Conference", conference))
        except Declined as declined:
            log.debug("asterisk.notStopped", extra={"error": declined.detail})
        except Unavailable:
            return False
        return True

    async def _ask(self, conference: ConfbridgeId, take: RecordingFile) -> Outcome:
        file = self._folder.record_file(take.name)
        try:
            await self._ami.act(
                "ConfbridgeStartRecord", ("Conference", conference), ("RecordFile", file)
            )
        except Declined as declined:
            return await self._declined(take, declined.detail)
        except Unavailable as error:
            take.unanswered, take.message = True, error.detail
            return Outcome.UNKNOWN
        return await self._confirm(conference, take)

    async def _declined(self, take: RecordingFile, detail: str) -> Outcome:
        if detail in _NOBODY:
            return Outcome.NOBODY
        if detail == _ALREADY:
            if not await self._is_ours(take):
                return Outcome.OTHERS
            # From an attempt whose answer was lost.
            began_ms = await self._folder.began_ms(take.name)
            take.recorded_ms = take.recorded_ms or began_ms or self._now_ms()
            return Outcome.RECORDING
        take.message = f"Asterisk refused: {detail}"
        return Outcome.REFUSED

    async def _is_ours(self, take: RecordingFile) -> bool:
        if self._folder.ours is None:
            return take.unanswered
        return await self._folder.holds(take.name)

    async def _confirm(self, conference: ConfbridgeId, take: RecordingFile) -> Outcome:
        """Accepted; but is it true?"""
        if not await self._until_heard(lambda: take.recorded_ms is not None):
            take.message = "no ConfbridgeRecord event came: manager.conf must say read = call,user"
        elif not await self._folder.appears(take.name, CONFIRMED_WITHIN_S):
            take.message = (
                f"Asterisk said it records, but {take.name} is not there: "
                "it may not write to asterisk.audioPath, or that is another folder than audio_path"
            )
        else:
            return Outcome.RECORDING
        await self.stop_blindly(conference)
        return Outcome.REFUSED

    async def _ask_to_end(self, conference: ConfbridgeId, take: RecordingFile) -> bool:
        try:
            await self._ami.act("ConfbridgeStopRecord", ("Conference", conference))
        except Declined:
            # It has ended by itself, or never began.
            if take.recorded_ms is not None and take.ceased_ms is None:
                seen = await self._folder.holds(take.name)
                ended_ms = await self._folder.ended_ms(take.name, take.recorded_ms)
                take.ceased_ms = ended_ms if seen else self._now_ms()
            return True
        except Unavailable:
            return False
        await self._until_heard(lambda: take.ceased_ms is not None)
        if take.ceased_ms is None:
            take.ceased_ms = self._now_ms()
        return True

    async def _until_heard(self, true: Callable[[], bool]) -> bool:
        try:
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                while not true():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return False
        return True
