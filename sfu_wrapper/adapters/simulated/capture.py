"""A running capture of the child process: which files it has open and for whom.

Two kinds with one face: ``VideoCapture`` has a film for each camera and screen, ``AudioCapture``
one mix for all. Nothing here waits or answers; slow work is left to ``seal`` and to what
``remove`` returns, which may run in a thread.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Final

from av.error import FFmpegError

from sfu_wrapper.adapters.simulated.audio import Mix
from sfu_wrapper.adapters.simulated.journal import Folders, Journal
from sfu_wrapper.adapters.simulated.messages import PositionedTrack, Settings, StartWriting
from sfu_wrapper.adapters.simulated.pattern import Picture, Reading
from sfu_wrapper.adapters.simulated.video_writer import VideoWriter
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Stream, Track

FAILURES: Final = (OSError, FFmpegError, Unavailable)
"""What disks and encoders raise while a capture is opened or written."""

_IDLE_US: Final = 50_000  # how often a capture without a frame due is looked at
_TOUCH_EVERY_US: Final = 1_000_000


class Stopwatch:
    """Wall time that only moves forward, at the pace of the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        """Epoch µs."""
        return (time.monotonic_ns() + self._offset_ns) // 1000


class Capture(ABC):
    """What both kinds share: journal and clock. Every method may raise one of FAILURES."""

    def __init__(self, begin: StartWriting, folders: Folders, journal: Journal) -> None:
        self.ref = begin.capture
        self._folders = folders
        self._journal = journal
        self._clock = Stopwatch()
        self._touched_us = 0
        self.started_ms = self._clock.now_us() // 1000

    @property
    def files(self) -> tuple[RawFile, ...]:
        """Every file of this capture so far, earlier tries included."""
        return self._journal.files

    def advance(self) -> float:
        """Write what is due; returns in how many seconds something is due again."""
        now_us = self._clock.now_us()
        if now_us - self._touched_us > _TOUCH_EVERY_US:
            self._touched_us = now_us
            self._journal.touch()
        due_us = self._advance(now_us)
        return max(due_us - self._clock.now_us(), 0) / 1_000_000

    def seal(self) -> int:
        """Close every file, durably, after ``end``; returns the end, epoch ms. Slow."""
        try:
            stopped_ms = self._seal()
            self._journal.sync()
        finally:
            self._journal.close()
        return stopped_ms

    @abstractmethod
    def add(self, *seated: PositionedTrack) -> bool:
        """Tracks are published; returns whether files were opened."""

    @abstractmethod
    def remove(self, track: Track) -> Callable[[], None] | None:
        """A track is published no longer; returns how to close its file, which is slow."""

    @abstractmethod
    def end(self) -> None:
        """Write what is due up to now; nothing more is written after that."""

    @abstractmethod
    def _advance(self, now_us: int) -> int:
        """Write what is due at ``now_us``; returns when something is due again."""

    @abstractmethod
    def _seal(self) -> int:
        """Close the media files."""


class VideoCapture(Capture):
    """A film for each published camera and screen."""

    def __init__(
        self, begin: StartWriting, settings: Settings, folders: Folders, journal: Journal
    ) -> None:
        super().__init__(begin, folders, journal)
        self._settings = settings
        self._films: dict[Track, tuple[VideoWriter, RawFile]] = {}
        self._ended_ms = self.started_ms
        try:
            self.add(*begin.tracks)
        except FAILURES:
            self._discard()
            raise

    def add(self, *seated: PositionedTrack) -> bool:
        cameras = {one.track: one for one in seated if one.track.stream.medium is Medium.VIDEO}
        fresh = [one for one in cameras.values() if one.track not in self._films]
        for one in fresh:
            self._open(one)
        return bool(fresh)

    def remove(self, track: Track) -> Callable[[], None] | None:
        if track not in self._films:
            return None
        film, file = self._films.pop(track)
        now_us = self._clock.now_us()
        film.advance(now_us)
        return lambda: self._shut(film, file, now_us // 1000)

    def end(self) -> None:
        now_us = self._clock.now_us()
        self._ended_ms = now_us // 1000
        self._advance(now_us)

    def _advance(self, now_us: int) -> int:
        dues = [film.advance(now_us) for film, _ in self._films.values()]
        return min(dues, default=now_us + _IDLE_US)

    def _seal(self) -> int:
        with ExitStack() as every_one:  # whatever becomes of the others
            for film, file in self._films.values():
                every_one.callback(self._shut, film, file, self._ended_ms)
        return self._ended_ms

    def _open(self, seated: PositionedTrack) -> None:
        settings = self._settings
        picture = _picture(self.ref.room, seated, settings)  # takes its time, so it comes first
        start_us = self._clock.now_us()
        file = self._plan(seated.track, start_us // 1000)
        path = self._folders.file(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        film = VideoWriter(path, picture, start_us, settings.fps, settings.bit_rate)
        self._films[seated.track] = film, file
        self._journal.note(file)
        film.advance(start_us)

    def _plan(self, track: Track, started_ms: int) -> RawFile:
        """A file whose name is free; the millisecond in it is moved on until it is."""
        room, at_ms = self.ref.room, started_ms
        while True:
            name = f"/{room}/janus-{room}-{track.user}-{track.stream}-{at_ms}-video.mjr"
            file = RawFile(name, track.stream, started_ms, user=track.user)
            if not self._folders.file(file).exists():
                return file
            at_ms += 1

    def _shut(self, film: VideoWriter, file: RawFile, at_ms: int) -> None:
        try:
            film.seal()
        finally:
            film.close()
        self._journal.note(replace(file, stopped_ms=at_ms))

    def _discard(self) -> None:
        """Leave no file of a capture that could not be opened."""
        for film, file in self._films.values():
            film.close()
            with suppress(OSError):
                self._folders.file(file).unlink()


class AudioCapture(Capture):
    """One mix of everybody who publishes audio."""

    def __init__(
        self, begin: StartWriting, settings: Settings, folders: Folders, journal: Journal
    ) -> None:
        super().__init__(begin, folders, journal)
        self._heard: dict[Track, int] = {}
        folders.audio.mkdir(parents=True, exist_ok=True)
        self._file, self._mix = self._open(begin)
        journal.note(self._file)
        self._hear(*begin.tracks)

    def add(self, *seated: PositionedTrack) -> bool:
        self._mix.advance(self._clock.now_us())
        self._hear(*seated)
        return False

    def remove(self, track: Track) -> Callable[[], None] | None:
        self._mix.advance(self._clock.now_us())
        self._heard.pop(track, None)
        self._hear()
        return None

    def end(self) -> None:
        self._mix.advance(self._clock.now_us())

    def _hear(self, *seated: PositionedTrack) -> None:
        self._heard |= {one.track: one.seat for one in seated if one.track.stream is Stream.AUDIO}
        self._mix.seats = frozenset(self._heard.values())

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
        """A mix of its own for each try within the segment, and for each room of a bridge."""
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
    """Start to write. Raises one of FAILURES: nothing is written then."""
    journal = Journal(folders, begin.capture)
    try:
        journal.settle()  # an earlier try of the same capture may have died
        kind = VideoCapture if begin.capture.medium is Medium.VIDEO else AudioCapture
        return kind(begin, settings, folders, journal)
    except BaseException:
        journal.close()
        raise


def _picture(room: RoomUuid, seated: PositionedTrack, settings: Settings) -> Picture:
    screen = seated.track.stream is Stream.SCREEN
    who = Reading(seated.track.user, settings.token, screen, 0)
    return Picture(who, room, seated.seat, settings.width_px)
