"""Step 1 of processing: raw files become media files, and one knows what they hold.

A missing or unreadable mix is a warning, as the product has it: the pictures are still delivered.
A missing or unreadable video file fails the attempt: the next one may find it. So does a process
that dies over either.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sfu_wrapper.core import extent
from sfu_wrapper.core.estimate import reading_s
from sfu_wrapper.core.intervals import Held, Span, spans
from sfu_wrapper.core.plan import Sound, Source, sound_start_us, zero_us
from sfu_wrapper.core.sync import mix_pace, mix_sync, notes, pace
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.outcome import TrackSync
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.media import MediaTools, PreparedVideo
from sfu_wrapper.ports.storage import RecordingStorage
from sfu_wrapper.service.course import Course, Work

log = logging.getLogger(__name__)

_TIMEOUT_S, _TIMEOUT_PER_S = 60.0, 0.5  # reading takes a small part of the segment's length

_NO_FAULT_OF_THE_MIX = ("UNSAFE_NAME", "MEDIA_CRASH", "TIMEOUT")  # nor a reason to do without it


@dataclass(frozen=True, slots=True)
class Video:
    """One video file that holds pictures; held: when. raw_bytes: of what it was made of."""

    prepared: PreparedVideo
    held: Held
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class Heard:
    """One piece of the mix that holds sound, and how it lies."""

    sound: Sound
    sync: TrackSync


@dataclass(frozen=True, slots=True)
class Material:
    """All that there is of one segment. shown: spans of ``videos``, in tile order."""

    videos: tuple[Video, ...]
    shown: tuple[Span, ...]
    sounds: tuple[Sound, ...]
    sync: tuple[TrackSync, ...]
    warnings: tuple[str, ...]

    def shown_ms(self, track: int) -> tuple[int, int]:
        """Epoch ms, by the event's clock, from its first picture to the end of its last one."""
        held = self.videos[track].held
        shift_us = next((span.shift_us for span in self.shown if span.track == track), 0)
        return (held.first_us + shift_us) // 1000, (held.end_us + shift_us) // 1000

    def sources(self, info: SegmentInfo) -> tuple[Source, ...]:
        """The video files as a composition wants them; those never on screen stay as they are."""
        shifts = {span.track: span for span in self.shown}
        unseen = Span(0, 0, 0)
        return tuple(
            Source(
                str(video.prepared.path),
                zero_us(info.started_ms, video.prepared.zero_us, shifts.get(track, unseen)),
                video.prepared.turns,
                pace(video.prepared.drift_ppm),
            )
            for track, video in enumerate(self.videos)
        )


async def ingest(
    info: SegmentInfo,
    tools: MediaTools,
    shelf: RecordingStorage,
    target_dir: Path,
    sizes: Sequence[int],
    course: Course,
) -> Material:
    """Read everything that the event names. sizes: of its video files. Raises JobFailed."""
    timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * (info.completed_ms - info.started_ms) / 1000
    reading = _Reading(info, tools, shelf, target_dir, timeout_s)
    pieces: list[tuple[Work[Video | Heard | str], float]] = [
        (partial(reading.video, number, file, size), reading_s(size))
        for number, (file, size) in enumerate(zip(info.video, sizes, strict=True))
    ]
    pieces += [(partial(reading.sound, file), reading_s()) for file in info.audio]
    read = await course.side_by_side("preprocess", pieces)
    videos = [one for one in read if isinstance(one, Video)]
    heard = [one for one in read if isinstance(one, Heard)]
    shown = spans(info, [video.held for video in videos])
    shifts_us = {span.track: span.shift_us for span in shown}
    sync = [_video_sync(info, one, shifts_us.get(n, 0)) for n, one in enumerate(videos)]
    sync += [one.sync for one in heard]
    return Material(
        videos=tuple(videos),
        shown=shown,
        sounds=tuple(one.sound for one in heard),
        sync=tuple(sync),
        warnings=(*_warnings(read), *_sync_notes(sync, shifts_us), *_unseen(videos, shown)),
    )


def without_empty_hours(info: SegmentInfo, material: Material) -> tuple[SegmentInfo, Material]:
    """Return the segment and its material without long stretches in which nothing was recorded."""
    duration_us = (info.completed_ms - info.started_ms) * 1000
    held = [(one.start_ms * 1000, (one.start_ms + one.length_ms) * 1000) for one in material.sync]
    left_out = extent.cuts(duration_us, held)
    if not left_out:
        return info, material

    def moved_ms(start_ms: int) -> int:
        return extent.moved_us(left_out, start_ms * 1000) // 1000

    material = replace(
        material,
        shown=tuple(extent.moved_span(left_out, span) for span in material.shown),
        sounds=tuple(
            replace(sound, start_us=extent.moved_us(left_out, sound.start_us))
            for sound in material.sounds
        ),
        sync=tuple(replace(one, start_ms=moved_ms(one.start_ms)) for one in material.sync),
        warnings=(*material.warnings, *extent.notes(left_out)),
    )
    return extent.moved_info(left_out, info), material


def _warnings(read: Iterable[Video | Heard | str]) -> Iterator[str]:
    """What is amiss with what has been read, or why it was not."""
    for one in read:
        if isinstance(one, str):
            yield one
        elif isinstance(one, Video):
            yield from (f"{one.held.file.filename}: {note}" for note in one.prepared.notes)


def _unseen(videos: Sequence[Video], shown: Iterable[Span]) -> Iterator[str]:
    """What a merged file has nothing of, though it holds pictures."""
    seen = {span.track for span in shown}
    for track, video in enumerate(videos):
        if track not in seen:
            yield f"{video.held.file.filename}: no picture lies within the segment's times"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the files of one segment are read, each by itself."""

    info: SegmentInfo
    tools: MediaTools
    shelf: RecordingStorage
    target_dir: Path
    timeout_s: float

    async def video(self, number: int, file: RawFile, raw_bytes: int) -> Video | str:
        """What it holds, or that it holds nothing. Raises JobFailed."""
        path = await self.shelf.raw_video(file.filename)
        log.debug("Processing video: %s.", path)
        target_dir = self.target_dir / str(number)
        try:
            prepared = await self.tools.preprocess(path, target_dir, timeout_s=self.timeout_s)
        except JobFailed as exc:
            exc.file = file.filename  # as the event has it
            raise
        if prepared is None:
            return f"{file.filename} holds no picture"
        stretch = pace(prepared.drift_ppm)
        first_us, end_us = round(prepared.first_us * stretch), round(prepared.end_us * stretch)
        held = Held(file, prepared.zero_us + first_us, prepared.zero_us + end_us)
        return Video(prepared, held, raw_bytes)

    async def sound(self, file: RawFile) -> Heard | str:
        """A piece of the mix, or why it is left out.

        Raises JobFailed for an unsafe name, and where a process ended before it could say.
        """
        try:
            path = await self.shelf.raw_audio(file.filename)
            length_us = await self.tools.sound_us(path, timeout_s=self.timeout_s)
        except JobFailed as exc:
            if exc.code in _NO_FAULT_OF_THE_MIX:
                raise
            return f"no sound from {file.filename}: {exc.detail}"
        if length_us == 0:
            return f"{file.filename} holds no sound"
        sync = mix_sync(self.info, file, length_us)
        start_us = sound_start_us(self.info.started_ms, file.started_ms, file.delay_ms)
        return Heard(Sound(str(path), start_us, mix_pace(sync)), sync)


def _video_sync(info: SegmentInfo, video: Video, shift_us: int) -> TrackSync:
    held, prepared = video.held, video.prepared
    return TrackSync(
        filename=held.file.filename,
        stream=held.file.stream,
        user=held.file.user,
        start_ms=(held.first_us + shift_us) // 1000 - info.started_ms,
        length_ms=(held.end_us - held.first_us) // 1000,
        offset_ms=round(prepared.zero_us / 1000) - held.file.started_ms,
        drift_ppm=prepared.drift_ppm,
        packets_received=prepared.packets_received,
        packets_lost=prepared.packets_lost,
        gaps=prepared.gaps,
    )


def _sync_notes(sync: list[TrackSync], shifts_us: dict[int, int]) -> Iterator[str]:
    """Where limits are passed. ``shifts_us``: of those, by number, whose clock is of no use."""
    for number, one in enumerate(sync):
        said = list(notes(one))
        if shift_us := shifts_us.get(number, 0):
            off_s = -shift_us / 1_000_000
            differs = f"its clock differs by {off_s:.3f} s, the event's start was taken"
            said = [differs, *notes(replace(one, offset_ms=0))]
        yield from (f"{one.filename}: {note}" for note in said)
