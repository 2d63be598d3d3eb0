"""Step 1 of processing: convert raw files into media files and measure what they hold.

The processor calls ``ingest`` with the segment's event, and gets the ``Material`` that the plan of
step 2 is made from. A file that cannot be used is left out; ``unusable`` decides if the attempt or
the segment fails for it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sfu_wrapper.core import intervals
from sfu_wrapper.core.estimate import reading_s
from sfu_wrapper.core.intervals import Held, Span, spans
from sfu_wrapper.core.plan import AudioSource, Source, audio_start_us, zero_us
from sfu_wrapper.core.sync import mix_pace, mix_sync, notes, pace, with_use
from sfu_wrapper.model.errors import JobFailed, Stage
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import MissingMedia, SegmentInfo, TrackSync
from sfu_wrapper.ports.media_tools import MediaTools, PreparedVideo
from sfu_wrapper.ports.storage import RecordingStorage
from sfu_wrapper.service.worker.progress import ProgressTracker, Work
from sfu_wrapper.service.worker.unusable import (
    Unusable,
    require_use,
    unusable_mix,
    unusable_video,
    without_frames,
)

log = logging.getLogger(__name__)

_TIMEOUT_S, _TIMEOUT_PER_S = 60.0, 0.5  # reading takes a small part of the segment's length

_SILENT_US = 2_000_000  # a track that is published longer than this without a packet is noted


@dataclass(frozen=True, slots=True)
class Video:
    """A video file that holds frames.

    Attributes:
        prepared: the converted file.
        held: its raw file, with the times of its first and last frame.
        raw_bytes: length of the raw file, or of its part.
        later_ms: ms by which it begins after its raw file: 0 but for parts after a change of codec.
    """

    prepared: PreparedVideo
    held: Held
    raw_bytes: int
    later_ms: int = 0


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """An audio file of the mix that is not empty.

    Attributes:
        source: the file as the plan takes it.
        sync: its row of the sync report.
    """

    source: AudioSource
    sync: TrackSync


@dataclass(frozen=True, slots=True)
class Material:
    """Everything recorded of one segment.

    Attributes:
        videos: files that hold frames.
        shown: spans of ``videos`` on screen, in tile order.
        audio: audio files of the mix.
        sync: sync report, the videos first.
        warnings: notes on damaged or missing files.
        missing: files that could not be used.
    """

    videos: tuple[Video, ...]
    shown: tuple[Span, ...]
    audio: tuple[AudioSource, ...]
    sync: tuple[TrackSync, ...]
    warnings: tuple[str, ...]
    missing: tuple[MissingMedia, ...] = ()

    def with_use(self, info: SegmentInfo, *, whole_videos: bool) -> "Material":
        """Return the material with the part of each file that the result holds.

        Args:
            info: the segment.
            whole_videos: True where the result holds whole video files (split output).
        """
        duration_ms = info.completed_ms - info.started_ms
        left_out_ms = [video.prepared.left_out_us // 1000 for video in self.videos]
        left_out_ms += [0] * (len(self.sync) - len(self.videos))
        sync = tuple(
            with_use(one, duration_ms, lost, whole=whole_videos and one.stream is not Stream.AUDIO)
            for one, lost in zip(self.sync, left_out_ms, strict=True)
        )
        return replace(self, sync=sync)

    def shown_ms(self, track: int) -> tuple[int, int]:
        """Return start of the first frame and end of the last, epoch ms by the event's clock."""
        held = self.videos[track].held
        shift_us = next((span.shift_us for span in self.shown if span.track == track), 0)
        return (held.first_us + shift_us) // 1000, (held.end_us + shift_us) // 1000

    def sources(self, info: SegmentInfo) -> tuple[Source, ...]:
        """Return the video files as inputs of a composition; unseen ones keep their own clock."""
        shifts = {span.track: span for span in self.shown}
        unseen = Span(0, 0, 0)
        return tuple(
            Source(
                str(video.prepared.path),
                zero_us(info.started_ms, video.prepared.zero_us, shifts.get(track, unseen)),
                video.prepared.turns,
                pace(video.prepared.drift_ppm),
                stays=video.held.is_screen,
            )
            for track, video in enumerate(self.videos)
        )


_Read = tuple[Video, ...] | AudioPiece | Unusable | str


async def ingest(
    info: SegmentInfo,
    tools: MediaTools,
    storage: RecordingStorage,
    target_dir: Path,
    sizes: Sequence[int],
    progress: ProgressTracker,
    *,
    is_last: bool = False,
) -> Material:
    """Convert and measure all files that the event names. Raises JobFailed.

    Args:
        info: the segment.
        tools: media operations.
        storage: place of the raw files.
        target_dir: folder of the converted files.
        sizes: lengths of the video files, in bytes.
        progress: stages of this attempt.
        is_last: True if no other attempt follows.
    """
    timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * (info.completed_ms - info.started_ms) / 1000
    reading = _Reading(info, tools, storage, target_dir, timeout_s)
    pieces: list[tuple[Work[_Read], float]] = [
        (partial(reading.video, number, file, size), reading_s(size))
        for number, (file, size) in enumerate(zip(info.video, sizes, strict=True))
    ]
    pieces += [(partial(reading.audio, file), reading_s()) for file in info.audio]
    read = await progress.side_by_side(Stage.PREPROCESS, pieces)
    unusable = [one for one in read if isinstance(one, Unusable)]
    video, audio = (any(isinstance(one, kind) for one in read) for kind in (tuple, AudioPiece))
    require_use(unusable, video=video, audio=audio, is_last=is_last)
    return _material(info, read, unusable)


def _material(info: SegmentInfo, read: Sequence[_Read], unusable: Sequence[Unusable]) -> Material:
    videos = [video for one in read if isinstance(one, tuple) for video in one]
    audio_pieces = [one for one in read if isinstance(one, AudioPiece)]
    shown = spans(info, [video.held for video in videos])
    shifts_us = {span.track: span.shift_us for span in shown}
    sync = [_video_sync(info, one, shifts_us.get(n, 0)) for n, one in enumerate(videos)]
    sync += [one.sync for one in audio_pieces]
    length_us = (info.completed_ms - info.started_ms) * 1000
    return Material(
        videos=tuple(videos),
        shown=shown,
        audio=tuple(one.source for one in audio_pieces),
        sync=tuple(sync),
        warnings=(
            *_warnings(read, length_us),
            *_sync_notes(sync, shifts_us),
            *_unseen(videos, shown),
        ),
        missing=tuple(one.missing(info) for one in unusable),
    )


def without_empty_hours(info: SegmentInfo, material: Material) -> tuple[SegmentInfo, Material]:
    """Return the segment and its material without long periods in which nothing was recorded."""
    duration_us = (info.completed_ms - info.started_ms) * 1000
    held = [(one.start_ms * 1000, (one.start_ms + one.length_ms) * 1000) for one in material.sync]
    left_out = intervals.cuts(duration_us, held)
    if not left_out:
        return info, material

    def moved_ms(start_ms: int) -> int:
        return intervals.moved_us(left_out, start_ms * 1000) // 1000

    material = replace(
        material,
        shown=tuple(intervals.moved_span(left_out, span) for span in material.shown),
        audio=tuple(
            replace(source, start_us=intervals.moved_us(left_out, source.start_us))
            for source in material.audio
        ),
        sync=tuple(replace(one, start_ms=moved_ms(one.start_ms)) for one in material.sync),
        warnings=(*material.warnings, *intervals.notes(left_out)),
    )
    return intervals.moved_info(left_out, info), material


def _warnings(read: Iterable[_Read], length_us: int) -> Iterator[str]:
    """Yield the notes on converted files, and the reasons why others were left out."""
    for one in read:
        if isinstance(one, str):
            yield one
        elif isinstance(one, Unusable):
            yield one.warning
        elif isinstance(one, tuple):
            notes = [note for video in one for note in video.prepared.notes]
            notes += _silence(one[0].prepared, length_us)
            yield from (f"{one[0].held.file.filename}: {note}" for note in dict.fromkeys(notes))


def _silence(prepared: PreparedVideo, length_us: int) -> Iterator[str]:
    """Yield a note where a published track gave nothing for long at its beginning."""
    silent_us = prepared.started_us - prepared.created_us
    if _SILENT_US < silent_us <= length_us:
        yield f"published, but nothing came for the first {silent_us / 1_000_000:.1f} s"


def _unseen(videos: Sequence[Video], shown: Iterable[Span]) -> Iterator[str]:
    """Yield a warning for each video whose frames are all outside the segment."""
    seen = {span.track for span in shown}
    for track, video in enumerate(videos):
        if track not in seen:
            yield f"{video.held.file.filename}: no frame is within the segment's times"


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reader of the files of one segment, one call per file."""

    info: SegmentInfo
    tools: MediaTools
    storage: RecordingStorage
    target_dir: Path
    timeout_s: float

    async def video(
        self, number: int, file: RawFile, raw_bytes: int
    ) -> tuple[Video, ...] | Unusable | str:
        """Convert a video file; return a warning where it holds no frame. Raises JobFailed.

        Returns:
            A video for each stretch of one codec, nearly always a single one.
        """
        target_dir = self.target_dir / str(number)
        try:
            path = await self.storage.raw_video(file.filename)
            log.debug("Processing video: %s.", path)
            prepared = await self.tools.preprocess(path, target_dir, timeout_s=self.timeout_s)
        except JobFailed as exc:
            exc.file = file.filename  # the event's name, not the path
            return unusable_video(self.info, file, exc)
        if prepared is None:
            return without_frames(self.info, file, raw_bytes)
        parts = (prepared, *prepared.following)
        # A part lasts until the next one begins, by the event's times.
        ends = [
            file.started_ms + (part.first_us - prepared.first_us) // 1000
            for part in prepared.following
        ]
        begins = [file.started_ms, *ends]
        files = (
            replace(file, started_ms=begin, stopped_ms=end)
            for begin, end in zip(begins, [*ends, file.stopped_ms], strict=True)
        )
        share = raw_bytes // len(parts)
        return tuple(
            Video(part, _held(part, one, later := one.started_ms - file.started_ms), share, later)
            for part, one in zip(parts, files, strict=True)
        )

    async def audio(self, file: RawFile) -> AudioPiece | Unusable | str:
        """Measure an audio file of the mix; return a warning where it is left out.

        Raises:
            JobFailed: the name is unsafe.
        """
        try:
            path = await self.storage.raw_audio(file.filename)
            length_us = await self.tools.audio_us(path, timeout_s=self.timeout_s)
        except JobFailed as exc:
            return unusable_mix(file, exc)
        if length_us == 0:
            return f"{file.filename} holds no audio"
        sync = mix_sync(self.info, file, length_us)
        start_us = audio_start_us(self.info.started_ms, file.started_ms, file.delay_ms)
        return AudioPiece(AudioSource(str(path), start_us, mix_pace(sync)), sync)


def _held(prepared: PreparedVideo, file: RawFile, later_ms: int) -> Held:
    zero_us, later_us = prepared.zero_us, later_ms * 1000
    stretch = pace(prepared.drift_ppm)
    first_us, end_us = round(prepared.first_us * stretch), round(prepared.end_us * stretch)
    return Held(
        file,
        zero_us + first_us,
        zero_us + end_us,
        beat_us=prepared.beat_us,
        received_us=prepared.received_us,
        single=prepared.frames == 1,
        begun_us=zero_us + later_us,
        opened_us=zero_us - (prepared.started_us - prepared.created_us) + later_us,
    )


def _video_sync(info: SegmentInfo, video: Video, shift_us: int) -> TrackSync:
    held, prepared = video.held, video.prepared
    return TrackSync(
        filename=held.file.filename,
        stream=held.file.stream,
        user=held.file.user,
        start_ms=(held.first_us + shift_us) // 1000 - info.started_ms,
        length_ms=(held.end_us - held.first_us) // 1000,
        offset_ms=round(prepared.zero_us / 1000) + video.later_ms - held.file.started_ms,
        drift_ppm=prepared.drift_ppm,
        packets_received=prepared.packets_received,
        packets_lost=prepared.packets_lost,
        gaps=prepared.gaps - (prepared.still if held.is_screen else 0),
    )


def _sync_notes(sync: list[TrackSync], shifts_us: dict[int, int]) -> Iterator[str]:
    """Yield a note for each limit of the sync report that is exceeded.

    Args:
        sync: rows of the report.
        shifts_us: shift applied to each video, by its number; not 0 where its clock is unusable.
    """
    for number, one in enumerate(sync):
        found = list(notes(one))
        if shift_us := shifts_us.get(number, 0):
            off_s = -shift_us / 1_000_000
            differs = f"its clock differs by {off_s:.3f} s, the event's start was taken"
            found = [differs, *notes(replace(one, offset_ms=0))]
        yield from (f"{one.filename}: {note}" for note in found)
