"""Files of one room's conference, by capture: names, times and contents.

``conference`` decides when a recording begins and ends. It adds each file here (``note``), sets
its end (``seal``), and reads from here which files to report to the room.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.adapters.asterisk.folder import Fate, Folder
from sfu_wrapper.adapters.asterisk.recording_file import RecordingFile
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.model.media import RawFile, Stream

CUT_MS: Final = 1_000  # a whole file differs by 20 ms


class ConferenceFiles:
    """Files of every capture of one conference.

    Attributes:
        name: Name of the conference, which is part of the file names.
        folder: Where Asterisk writes.
        delay_ms: Time by which the conference's audio lags behind the video.
        now_ms: Wall clock, epoch ms.
    """

    def __init__(
        self, name: ConfbridgeId, folder: Folder, delay_ms: int, now_ms: Callable[[], int]
    ) -> None:
        self._name = name
        self._folder = folder
        self._delay_ms = delay_ms
        self._now_ms = now_ms
        self._files: dict[CaptureRef, dict[str, RawFile]] = {}

    def __contains__(self, capture: CaptureRef) -> bool:
        """Return True once the capture has been taken up, with or without files."""
        return capture in self._files

    def holds(self, capture: CaptureRef | None, name: str) -> bool:
        """Return True if the file belongs to that capture."""
        return capture is not None and name in self._files.get(capture, {})

    def of(self, capture: CaptureRef) -> tuple[RawFile, ...]:
        """Return the files of a capture, in the order in which they began."""
        return tuple(self._files.get(capture, {}).values())

    async def new_recording(self, capture: CaptureRef) -> RecordingFile | None:
        """Return a recording under a name that no file has yet.

        Returns:
            None where the conference's name cannot be part of a file name.

        Raises:
            Unavailable: The folder does not answer.
        """
        taken = {name for files in self._files.values() for name in files}
        name = await self._folder.fresh_name(capture, self._name, taken)
        return RecordingFile(name) if name is not None else None

    def note(self, capture: CaptureRef, recording: RecordingFile) -> None:
        """Add the file of a recording that has begun."""
        started_ms = recording.recorded_ms or self._now_ms()
        self._files.setdefault(capture, {})[recording.name] = self._raw_file(
            recording.name, started_ms
        )

    async def seal(self, capture: CaptureRef, recording: RecordingFile) -> bool:
        """Set the end of a file; add it first if the answer to its start was lost.

        Returns:
            False if Asterisk never made that file.
        """
        files = self._files.setdefault(capture, {})
        if recording.name not in files:
            if not await self._folder.holds(recording.name):
                return False
            self.note(capture, recording)
        file = files[recording.name]
        ended_ms = recording.stopped_ms or await self.end_of(recording)
        files[recording.name] = replace(file, stopped_ms=max(file.started_ms, ended_ms))
        return True

    async def end_of(self, recording: RecordingFile) -> int:
        """Return the end of the file according to its content, epoch ms."""
        began_ms = recording.recorded_ms or self._now_ms()
        return await self._folder.ended_ms(recording.name, began_ms)

    async def is_cut(self, capture: CaptureRef, name: str) -> bool:
        """Return True if the file holds much less audio than its times imply."""
        file = self._files.get(capture, {}).get(name)
        if file is None or file.stopped_ms is None or not await self._folder.holds(name):
            return False
        return file.stopped_ms - file.started_ms - await self._folder.audio_ms(name) > CUT_MS

    async def take_over(self, capture: CaptureRef, known: Iterable[RawFile]) -> "TakenOver":
        """Find the files that an earlier controller left of a capture, and seal those that ended.

        Args:
            capture: The capture to take over.
            known: Files that the store holds for it.
        """
        found = TakenOver()
        files = self._files.setdefault(capture, {})
        files.update({file.filename: file for file in known})
        # A file that the store does not know is surely of this conference only if it grows.
        for name in (await self._folder.found(capture, self._name))[-1:]:
            if name not in files and await self._folder.fate(name) is Fate.WRITTEN:
                files[name] = self._raw_file(name, await self._folder.began_ms(name))
        for name, file in tuple(files.items()):
            if file.stopped_ms is not None:
                continue
            fate = await self._folder.fate(name)
            if fate is Fate.WRITTEN:
                found.written = RecordingFile(name, recorded_ms=file.started_ms)
            elif fate is Fate.MISSING:
                del files[name]
            else:
                ended_ms = await self._folder.ended_ms(name, file.started_ms)
                files[name] = replace(file, stopped_ms=ended_ms)
                found.ended_whole = found.ended_whole or fate is Fate.WHOLE
        return found

    def _raw_file(self, name: str, started_ms: int) -> RawFile:
        delay_ms = self._delay_ms
        return RawFile(name, Stream.AUDIO, started_ms, mixer="asterisk", delay_ms=delay_ms)


@dataclass(slots=True)
class TakenOver:
    """Outcome of ``ConferenceFiles.take_over``.

    Attributes:
        written: The recording that Asterisk still writes, None if there is none.
        ended_whole: True if a file ended whole, as it does when the last member leaves.
    """

    written: RecordingFile | None = None
    ended_whole: bool = False


def last_ms(files: Iterable[RawFile]) -> int:
    """Return the end of the last file, epoch ms; 0 if none has ended."""
    return max((file.stopped_ms or 0 for file in files), default=0)
