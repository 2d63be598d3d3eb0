"""A running capture of the child process, with its open files.

Two kinds with one interface: ``VideoCapture`` writes a video for each camera and screen,
``AudioCapture`` one mix for all. ``capture_engine`` calls ``advance`` whenever media is due.
Nothing here waits; the slow calls are ``seal`` and the function that ``remove`` returns, which the
engine runs in threads.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Final

from av.error import FFmpegError

from sfu_wrapper.adapters.simulated.journal import Folders, Journal
from sfu_wrapper.adapters.simulated.messages import PositionedTrack, Settings, StartWriting
from sfu_wrapper.adapters.simulated.pattern import Pattern, StripData
from sfu_wrapper.adapters.simulated.writers import Mix, VideoWriter
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Stream, Track

FAILURES: Final = (OSError, FFmpegError, Unavailable)
"""Errors of disks and encoders while a capture is opened or written."""

_IDLE_US: Final = 50_000  # interval of ``advance`` for a capture without a frame due
_TOUCH_EVERY_US: Final = 1_000_000


class Stopwatch:
    """Wall time that only moves forward, at the pace of the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        """Return the time in epoch µs."""
        return (time.monotonic_ns() + self._offset_ns) // 1000


class Capture(ABC):
    """Base of both kinds: journal and clock. Every method may raise one of FAILURES."""

    def __init__(self, begin: StartWriting, folders: Folders, journal: Journal) -> None:
        self.ref = begin.capture
        self._folders = folders
        self._journal = journal
        self._clock = Stopwatch()
        self._touched_us = 0
        self.started_ms = self._clock.now_us() // 1000

    @property
    def files(self) -> tuple[RawFile, ...]:
        """Every file of this capture so far, those of earlier attempts included."""
        return self._journal.files

    def advance(self) -> float:
        """Write the media due now; return the seconds until more is due."""
        now_us = self._clock.now_us()
        if now_us - self._touched_us > _TOUCH_EVERY_US:
            self._touched_us = now_us
            self._journal.touch()
        due_us = self._advance(now_us)
        return max(due_us - self._clock.now_us(), 0) / 1_000_000

    def seal(self) -> int:
        """Close every file durably, after ``end``; return the end, epoch ms. Slow."""
        try:
            stopped_ms = self._seal()
            self._journal.sync()
        finally:
            self._journal.close()
        return stopped_ms

    @abstractmethod
    def add(self, *seated: PositionedTrack) -> bool:
        """Add published tracks; return True if files were opened."""

    @abstractmethod
    def remove(self, track: Track) -> Callable[[], None] | None:
        """Remove an unpublished track; return the slow function that closes its file, if any."""

    @abstractmethod
    def end(self) -> None:
        """Write the media due up to now, and nothing after that."""

    @abstractmethod
    def _advance(self, now_us: int) -> int:
        """Write the media due at ``now_us``; return the time at which more is due, epoch µs."""

    @abstractmethod
    def _seal(self) -> int:
        """Close the media files."""


class VideoCapture(Capture):
    """Capture of video: a file for each published camera and screen."""

    def __init__(
        self, begin: StartWriting, settings: Settings, folders: Folders, journal: Journal
    ) -> None:
        super().__init__(begin, folders, journal)
        self._settings = settings
        self._videos: dict[Track, tuple[VideoWriter, RawFile]] = {}
        self._ended_ms = self.started_ms
        try:
            self.add(*begin.tracks)
        except FAILURES:
            self._discard()
            raise

    def add(self, *seated: PositionedTrack) -> bool:
        cameras = {one.track: one for one in seated if one.track.stream.medium is Medium.VIDEO}
        fresh = [one for one in cameras.values() if one.track not in self._videos]
        for one in fresh:
            self._open(one)
        return bool(fresh)

    def remove(self, track: Track) -> Callable[[], None] | None:
        if track not in self._videos:
            return None
        video, file = self._videos.pop(track)
        now_us = self._clock.now_us()
        video.advance(now_us)
        return lambda: self._shut(video, file, now_us // 1000)

    def end(self) -> None:
        now_us = self._clock.now_us()
        self._ended_ms = now_us // 1000
        self._advance(now_us)

    def _advance(self, now_us: int) -> int:
        dues = [video.advance(now_us) for video, _ in self._videos.values()]
        return min(dues, default=now_us + _IDLE_US)

    def _seal(self) -> int:
        with ExitStack() as every_one:  # an error of one must not keep the others open
            for video, file in self._videos.values():
                every_one.callback(self._shut, video, file, self._ended_ms)
        return self._ended_ms

    def _open(self, seated: PositionedTrack) -> None:
        settings = self._settings
        pattern = _pattern(self.ref.room, seated, settings)  # slow, so before the start is taken
        start_us = self._clock.now_us()
        file = self._plan(seated.track, start_us // 1000)
        path = self._folders.file(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        video = VideoWriter(path, pattern, start_us, settings.fps, settings.bit_rate)
        self._videos[seated.track] = video, file
        self._journal.note(file)
        video.advance(start_us)

    def _plan(self, track: Track, started_ms: int) -> RawFile:
        """Return a file with an unused name: its millisecond is increased until none exists."""
        room, at_ms = self.ref.room, started_ms
        while True:
            name = f"/{room}/janus-{room}-{track.user}-{track.stream}-{at_ms}-video.mjr"
            file = RawFile(name, track.stream, started_ms, user=track.user)
            if not self._folders.file(file).exists():
                return file
            at_ms += 1

    def _shut(self, video: VideoWriter, file: RawFile, at_ms: int) -> None:
        try:
            video.seal()
        finally:
            video.close()
        self._journal.note(replace(file, stopped_ms=at_ms))

    def _discard(self) -> None:
        """Remove the files of a capture that could not be opened completely."""
        for video, file in self._videos.values():
            video.close()
            with suppress(OSError):
                self._folders.file(file).unlink()


class AudioCapture(Capture):
    """Capture of audio: one mix of all who publish audio."""

    def __init__(
        self, begin: StartWriting, settings: Settings, folders: Folders, journal: Journal
    ) -> None:
        super().__init__(begin, folders, journal)
        self._audible: dict[Track, int] = {}
        folders.audio.mkdir(parents=True, exist_ok=True)
        self._file, self._mix = self._open(begin)
        journal.note(self._file)
        self._include(*begin.tracks)

    def add(self, *seated: PositionedTrack) -> bool:
        self._mix.advance(self._clock.now_us())
        self._include(*seated)
        return False

    def remove(self, track: Track) -> Callable[[], None] | None:
        self._mix.advance(self._clock.now_us())
        self._audible.pop(track, None)
        self._include()
        return None

    def end(self) -> None:
        self._mix.advance(self._clock.now_us())

    def _include(self, *seated: PositionedTrack) -> None:
        self._audible |= {
            one.track: one.position for one in seated if one.track.stream is Stream.AUDIO
        }
        self._mix.positions = frozenset(self._audible.values())

    def _advance(self, now_us: int) -> int:
        self._mix.advance(now_us)
        return now_us + _IDLE_US

    def _seal(self) -> int:
        try:
            self._mix.seal()
        finally:
            self._mix.close()
        stopped_ms = self._mix.written_ms
        self._journal.note(replace(self._file, stopped_ms=stopped_ms))
        return stopped_ms

    def _open(self, begin: StartWriting) -> tuple[RawFile, Mix]:
        """Open a new file for each attempt within the segment, and for each room of a bridge."""
        start_us = self._clock.now_us()
        stem = f"recording-{begin.confbridge_id}-{self.ref.segment}"
        name, tries = f"{stem}.wav", 1
        while True:
            file = RawFile(name, Stream.AUDIO, start_us // 1000, mixer="simulated")
            try:
                return file, Mix(self._folders.file(file), start_us)
            except FileExistsError:
                tries += 1
                name = f"{stem}-{tries}.wav"


def open_capture(begin: StartWriting, settings: Settings, folders: Folders) -> Capture:
    """Start a capture. Raises one of FAILURES; no file is left then."""
    journal = Journal(folders, begin.capture)
    try:
        journal.settle()  # an earlier attempt at the same capture may have died
        kind = VideoCapture if begin.capture.medium is Medium.VIDEO else AudioCapture
        return kind(begin, settings, folders, journal)
    except BaseException:
        journal.close()
        raise


def _pattern(room: RoomUuid, seated: PositionedTrack, settings: Settings) -> Pattern:
    screen = seated.track.stream is Stream.SCREEN
    who = StripData(seated.track.user, settings.token, screen, 0)
    return Pattern(who, room, seated.position, settings.width_px)
