"""Step 1 of processing: raw files become media files, and one knows what they hold.

A missing or unreadable mix is a warning, as the product has it: the pictures are still delivered.
A missing or unreadable video file fails the attempt: the next one may find it.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from sfu_wrapper.core.intervals import Held, Span, spans
from sfu_wrapper.core.plan import Sound, Source, sound_start_us, zero_us
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.outcome import TrackSync
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.media import MediaTools, PreparedVideo, Progress
from sfu_wrapper.ports.shelf import Shelf

log = logging.getLogger(__name__)

_TIMEOUT_S, _TIMEOUT_PER_S = 60.0, 0.5  # reading takes a small part of the segment's length


@dataclass(frozen=True, slots=True)
class Video:
    """One video file that holds pictures; held: when."""

    prepared: PreparedVideo
    held: Held


@dataclass(frozen=True, slots=True)
class Material:
    """All that there is of one segment. shown: spans of ``videos``, in tile order."""

    videos: tuple[Video, ...]
    shown: tuple[Span, ...]
    sounds: tuple[Sound, ...]
    sync: tuple[TrackSync, ...]
    warnings: tuple[str, ...]

    def sources(self, info: SegmentInfo) -> tuple[Source, ...]:
        """The video files as a composition wants them; those never on screen stay as they are."""
        shifts = {span.track: span for span in self.shown}
        unseen = Span(0, 0, 0)
        return tuple(
            Source(
                str(video.prepared.path),
                zero_us(info.started_ms, video.prepared.zero_us, shifts.get(track, unseen)),
                video.prepared.turns,
            )
            for track, video in enumerate(self.videos)
        )


async def ingest(
    info: SegmentInfo, tools: MediaTools, shelf: Shelf, target_dir: Path, progress: Progress
) -> Material:
    """Read everything that the event names; ``progress`` hears percents. Raises JobFailed."""
    timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * (info.completed_ms - info.started_ms) / 1000
    warnings: list[str] = []
    videos = []
    for number, file in enumerate(info.video):
        progress(100 * number / (len(info.video) + len(info.audio)))
        video = await _video(file, tools, shelf, target_dir / str(number), timeout_s)
        if video is None:
            warnings.append(f"{file.filename} holds no picture")
        else:
            warnings += [f"{file.filename}: {note}" for note in video.prepared.notes]
            videos.append(video)
    sounds = []
    for number, file in enumerate(info.audio, start=len(info.video)):
        progress(100 * number / (len(info.video) + len(info.audio)))
        sound, warning = await _sound(info, file, tools, shelf, timeout_s)
        sounds += [sound] if sound else []
        warnings += [warning] if warning else []
    shown = spans(info, [video.held for video in videos])
    return Material(
        videos=tuple(videos),
        shown=shown,
        sounds=tuple(sounds),
        sync=tuple(_video_sync(info, video) for video in videos),
        warnings=(*warnings, *_disagreeing_clocks(videos, shown)),
    )


async def _video(
    file: RawFile, tools: MediaTools, shelf: Shelf, target_dir: Path, timeout_s: float
) -> Video | None:
    path = await shelf.raw_video(file.filename)
    log.debug("Processing video: %s.", path)
    prepared = await tools.preprocess(path, target_dir, timeout_s=timeout_s)
    if prepared is None:
        return None
    first_us = prepared.zero_us + prepared.first_us
    return Video(prepared, Held(file, first_us, prepared.zero_us + prepared.end_us))


async def _sound(
    info: SegmentInfo, file: RawFile, tools: MediaTools, shelf: Shelf, timeout_s: float
) -> tuple[Sound | None, str | None]:
    try:
        path = await shelf.raw_audio(file.filename)
        if not await tools.holds_sound(path, timeout_s=timeout_s):
            return None, f"{file.filename} holds no sound"
    except JobFailed as exc:
        if exc.code == "UNSAFE_NAME":
            raise
        return None, f"no sound from {file.filename}: {exc.detail}"
    start_us = sound_start_us(info.started_ms, file.started_ms, file.delay_ms)
    return Sound(str(path), start_us), None


def _video_sync(info: SegmentInfo, video: Video) -> TrackSync:
    held = video.held
    return TrackSync(
        stream=held.file.stream,
        user=held.file.user,
        offset_ms=held.first_us // 1000 - info.started_ms,
        length_ms=(held.end_us - held.first_us) // 1000,
        told_ms=held.first_us // 1000 - held.file.started_ms,
        packets_lost=video.prepared.packets_lost,
        gaps=video.prepared.gaps,
    )


def _disagreeing_clocks(videos: list[Video], shown: tuple[Span, ...]) -> list[str]:
    return [
        f"{videos[span.track].held.file.filename}: its clock differs by "
        f"{-span.shift_us / 1_000_000:.3f} s, the event's start was taken"
        for span in shown
        if span.shift_us
    ]
