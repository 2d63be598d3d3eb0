"""Step 1 of processing: raw files become media files, and one knows what they hold.

A missing or unreadable mix is a warning, as the product has it: the pictures are still delivered.
A missing or unreadable video file fails the attempt: the next one may find it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sfu_wrapper.core.estimate import reading_s
from sfu_wrapper.core.intervals import Held, Span, spans
from sfu_wrapper.core.plan import Sound, Source, sound_start_us, zero_us
from sfu_wrapper.core.sync import mix_pace, mix_sync, notes, pace
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.outcome import TrackSync
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.media import MediaTools, PreparedVideo
from sfu_wrapper.ports.shelf import Shelf
from sfu_wrapper.service.course import Course

log = logging.getLogger(__name__)

_TIMEOUT_S, _TIMEOUT_PER_S = 60.0, 0.5  # reading takes a small part of the segment's length


@dataclass(frozen=True, slots=True)
class Video:
    """One video file that holds pictures; held: when. raw_bytes: of what it was made of."""

    prepared: PreparedVideo
    held: Held
    raw_bytes: int


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
    shelf: Shelf,
    target_dir: Path,
    sizes: Sequence[int],
    course: Course,
) -> Material:
    """Read everything that the event names. sizes: of its video files. Raises JobFailed."""
    timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * (info.completed_ms - info.started_ms) / 1000
    warnings: list[str] = []
    videos = []
    raw_bytes = (*sizes, *(0 for _ in info.audio))
    steps = course.through("preprocess", zip(raw_bytes, map(reading_s, raw_bytes), strict=True))
    for (number, file), size in zip(enumerate(info.video), steps, strict=False):
        video = await _video(file, tools, shelf, target_dir / str(number), size, timeout_s)
        if video is None:
            warnings.append(f"{file.filename} holds no picture")
        else:
            warnings += [f"{file.filename}: {note}" for note in video.prepared.notes]
            videos.append(video)
    told = zip(info.audio, steps, strict=True)
    sounds, measured = await _mix(info, told, tools, shelf, warnings, timeout_s)
    shown = spans(info, [video.held for video in videos])
    shifts_us = {span.track: span.shift_us for span in shown}
    sync = [_video_sync(info, one, shifts_us.get(n, 0)) for n, one in enumerate(videos)]
    sync += measured
    return Material(
        videos=tuple(videos),
        shown=shown,
        sounds=tuple(sounds),
        sync=tuple(sync),
        warnings=(*warnings, *_sync_notes(sync, shifts_us)),
    )


async def _video(
    file: RawFile,
    tools: MediaTools,
    shelf: Shelf,
    target_dir: Path,
    raw_bytes: int,
    timeout_s: float,
) -> Video | None:
    path = await shelf.raw_video(file.filename)
    log.debug("Processing video: %s.", path)
    try:
        prepared = await tools.preprocess(path, target_dir, timeout_s=timeout_s)
    except JobFailed as exc:
        exc.file = file.filename  # as the event has it
        raise
    if prepared is None:
        return None
    stretch = pace(prepared.drift_ppm)
    first_us, end_us = round(prepared.first_us * stretch), round(prepared.end_us * stretch)
    held = Held(file, prepared.zero_us + first_us, prepared.zero_us + end_us)
    return Video(prepared, held, raw_bytes)


class _NoSound(Exception):
    """What to tell people of a piece of the mix that is left out."""


async def _mix(
    info: SegmentInfo,
    files: Iterable[tuple[RawFile, object]],
    tools: MediaTools,
    shelf: Shelf,
    warnings: list[str],
    timeout_s: float,
) -> tuple[list[Sound], list[TrackSync]]:
    """The pieces of the mix that hold sound, and how they lie; of others there is a warning."""
    sounds, sync = [], []
    for file, _ in files:
        try:
            path, measured = await _sound(info, file, tools, shelf, timeout_s)
        except _NoSound as exc:
            warnings.append(str(exc))
            continue
        start_us = sound_start_us(info.started_ms, file.started_ms, file.delay_ms)
        sounds.append(Sound(str(path), start_us, mix_pace(measured)))
        sync.append(measured)
    return sounds, sync


async def _sound(
    info: SegmentInfo, file: RawFile, tools: MediaTools, shelf: Shelf, timeout_s: float
) -> tuple[Path, TrackSync]:
    """Where it is and how it lies. Raises _NoSound; JobFailed for an unsafe name."""
    try:
        path = await shelf.raw_audio(file.filename)
        length_us = await tools.sound_us(path, timeout_s=timeout_s)
    except JobFailed as exc:
        if exc.code == "UNSAFE_NAME":
            raise
        raise _NoSound(f"no sound from {file.filename}: {exc.detail}") from exc
    if length_us == 0:
        raise _NoSound(f"{file.filename} holds no sound")
    return path, mix_sync(info, file, length_us)


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
