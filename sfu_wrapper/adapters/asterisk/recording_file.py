"""Recording of one conference: its file, and the actions that start and stop it.

Asterisk's ``Success`` proves nothing. A recording has begun once its ``ConfbridgeRecord`` event
came and its file exists; it has ended once ``ConfbridgeStopRecord`` came and the file is whole.
``conference`` calls ``record`` and ``end`` and passes events in (``handle_event``).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, Declined, Message
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId

log = logging.getLogger(__name__)

CONFIRMED_WITHIN_S: Final = 2.0
WHOLE_WITHIN_S: Final = 2.0  # usually a few ms

_EMPTY_ANSWERS: Final = ("No active conferences.", "No Conference by that name found.")
_ALREADY: Final = "Conference is already being recorded."


class Outcome(StrEnum):
    """Outcome of a request to record."""

    RECORDING = "recording"
    EMPTY = "empty"  # the conference has no member, so it does not exist
    REFUSED = "refused"
    OTHERS = "others"  # it is already being recorded, to another file
    UNKNOWN = "unknown"  # no answer: Asterisk may have carried it out


@dataclass(slots=True)
class RecordingFile:
    """File of a recording, and its progress at Asterisk.

    Attributes:
        name: Path below the folder.
        recorded_ms: Start by Asterisk's clock, epoch ms; None before its event.
        stopped_ms: End by Asterisk's clock, epoch ms; None before its event.
        unanswered: True if the answer to the start was lost, so that it may be recorded.
        bridge: Asterisk's id of the conference; a later conference of the same name has another.
        left: True if the conference ended first, because its last member left.
        message: Reason of a refusal.
    """

    name: str
    recorded_ms: int | None = None
    stopped_ms: int | None = None
    unanswered: bool = False
    bridge: str = ""
    left: bool = False
    message: str = ""


class ConferenceRecorder:
    """Start and stop of the recording of one conference.

    Args:
        ami: Client of the manager interface.
        folder: Folder for the mixes.
        now_ms: Wall clock, epoch ms; the time of events without one.

    Attributes:
        current: File that is being recorded; None if there is none.
    """

    def __init__(self, ami: Ami, folder: Folder, now_ms: Callable[[], int]) -> None:
        self._ami = ami
        self._folder = folder
        self._now_ms = now_ms
        self._event_seen = asyncio.Event()
        self.current: RecordingFile | None = None

    def handle_event(self, message: Message) -> None:
        """Apply an event to the current file."""
        recording = self.current
        bridge = message.get("BridgeUniqueid")
        if recording is None or (recording.bridge and bridge and recording.bridge != bridge):
            return  # an earlier or later conference of that name
        at_ms = message.at_ms or self._now_ms()
        match message.event:
            case "ConfbridgeRecord" if recording.recorded_ms is None:
                recording.recorded_ms, recording.bridge = at_ms, bridge
            case "ConfbridgeStopRecord" if recording.recorded_ms is not None:
                recording.stopped_ms = at_ms
            case "ConfbridgeEnd":
                recording.left = True
            case _:
                return
        self._event_seen.set()

    async def record(self, conference: ConfbridgeId, recording: RecordingFile) -> Outcome:
        """Start, or retry, the recording to a file; it stays current unless refused."""
        self.current = recording
        outcome = await self._request_start(conference, recording)
        if outcome not in (Outcome.RECORDING, Outcome.UNKNOWN):
            self.current = None
        return outcome

    async def end(self, conference: ConfbridgeId) -> bool:
        """Stop the recording and wait until its file is whole. Returns False to retry."""
        recording = self.current
        if recording is None:
            return True
        if recording.stopped_ms is None and not await self._request_stop(conference, recording):
            return False
        exists = recording.recorded_ms is not None or await self._folder.holds(recording.name)
        if exists and not await self._folder.becomes_whole(recording.name, WHOLE_WITHIN_S):
            log.warning("asterisk.fileIncomplete", extra={"file": recording.name})
            return False
        self.current = None
        return True

    async def is_empty(self, conference: ConfbridgeId) -> bool:
        """Return True if the conference is known to have no member."""
        if not await self._ami.is_up(CONFIRMED_WITHIN_S):
            return False
        try:
            await self._ami.act("ConfbridgeList", ("Conference", conference))
        except Declined as declined:
            return declined.detail in _EMPTY_ANSWERS
        except Unavailable:
            pass
        return False

    async def stop_any(self, conference: ConfbridgeId) -> bool:
        """Stop any recording of the conference. Returns False if Asterisk did not answer."""
        try:
            await self._ami.act("ConfbridgeStopRecord", ("Conference", conference))
        except Declined as declined:
            log.debug("asterisk.stopFailed", extra={"error": declined.detail})
        except Unavailable:
            return False
        return True

    async def _request_start(self, conference: ConfbridgeId, recording: RecordingFile) -> Outcome:
        file = self._folder.record_file(recording.name)
        try:
            await self._ami.act(
                "ConfbridgeStartRecord", ("Conference", conference), ("RecordFile", file)
            )
        except Declined as declined:
            return await self._declined(recording, declined.detail)
        except Unavailable as error:
            recording.unanswered, recording.message = True, error.detail
            return Outcome.UNKNOWN
        return await self._confirm(conference, recording)

    async def _declined(self, recording: RecordingFile, detail: str) -> Outcome:
        if detail in _EMPTY_ANSWERS:
            return Outcome.EMPTY
        if detail == _ALREADY:
            if not await self._is_ours(recording):
                return Outcome.OTHERS
            # An earlier attempt succeeded; its answer was lost.
            began_ms = await self._folder.began_ms(recording.name)
            recording.recorded_ms = recording.recorded_ms or began_ms or self._now_ms()
            return Outcome.RECORDING
        recording.message = f"Asterisk refused: {detail}"
        return Outcome.REFUSED

    async def _is_ours(self, recording: RecordingFile) -> bool:
        if self._folder.ours is None:
            return recording.unanswered
        return await self._folder.holds(recording.name)

    async def _confirm(self, conference: ConfbridgeId, recording: RecordingFile) -> Outcome:
        """Check that an accepted recording has its event and its file; stop it otherwise."""
        if not await self._wait_for_event(lambda: recording.recorded_ms is not None):
            recording.message = "no ConfbridgeRecord event: set read = call,user in manager.conf"
        elif not await self._folder.appears(recording.name, CONFIRMED_WITHIN_S):
            recording.message = (
                f"Asterisk accepted the recording, but {recording.name} does not exist: check that "
                "it can write to asterisk.audioPath, and that audio_path is the same folder"
            )
        else:
            return Outcome.RECORDING
        await self.stop_any(conference)
        return Outcome.REFUSED

    async def _request_stop(self, conference: ConfbridgeId, recording: RecordingFile) -> bool:
        try:
            await self._ami.act("ConfbridgeStopRecord", ("Conference", conference))
        except Declined:
            # The recording has already ended, or never began.
            if recording.recorded_ms is not None and recording.stopped_ms is None:
                seen = await self._folder.holds(recording.name)
                ended_ms = await self._folder.ended_ms(recording.name, recording.recorded_ms)
                recording.stopped_ms = ended_ms if seen else self._now_ms()
            return True
        except Unavailable:
            return False
        await self._wait_for_event(lambda: recording.stopped_ms is not None)
        if recording.stopped_ms is None:
            recording.stopped_ms = self._now_ms()
        return True

    async def _wait_for_event(self, condition: Callable[[], bool]) -> bool:
        try:
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                while not condition():
                    self._event_seen.clear()
                    await self._event_seen.wait()
        except TimeoutError:
            return False
        return True
