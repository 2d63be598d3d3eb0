"""Conversion of one raw .mjr into one media file, by our own depacketisers.

``formats`` decides which frames are kept; this module chooses the container and classifies
failures as permanent or temporary. It blocks the calling thread for about a second per hour of
video, so it must not run in an event loop.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeVar, assert_never

import av

from sfu_wrapper.adapters.media.demux import MAX_PIXELS, opened
from sfu_wrapper.adapters.media.mux import (
    base_name,
    finished,
    write_g711,
    write_opus,
    write_video,
)
from sfu_wrapper.adapters.media.track_stats import (
    TrackStats,
    codec_warnings,
    frame_warnings,
    stream_warnings,
)
from sfu_wrapper.adapters.os.beneath import UnsafeFile
from sfu_wrapper.adapters.os.files import refused
from sfu_wrapper.core.plan import Rotation
from sfu_wrapper.formats import opus
from sfu_wrapper.formats.assemble import Assembler, TimedFrame
from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.formats.depacketizers import depacketizer, recognised
from sfu_wrapper.formats.mjr import TAIL_BYTES, Header, Kind, Reader, last_offset_ms
from sfu_wrapper.formats.stream import CodecRuns, MediaStream
from sfu_wrapper.model.codecs import (
    AUDIO_INPUT,
    VIDEO_CLOCK_HZ,
    VIDEO_INPUT,
    AudioInputCodec,
    VideoInputCodec,
)
from sfu_wrapper.model.errors import JobCode, JobFailed, Malformed, Stage
from sfu_wrapper.model.media import EmptyTrack, TrackFile, TrackKind
from sfu_wrapper.ports.media_tools import PreparedVideo

_MOST_CHANGES = 8  # of the codec; each takes another reading of the file

_STAGE = Stage.PREPROCESS

Packet = TypeVar("Packet")


@dataclass(frozen=True, slots=True)
class Recording:
    """A raw file that can be read."""

    source: Path
    reader: Reader
    header: Header
    codec: VideoInputCodec | AudioInputCodec


def preprocess(source: Path, target_dir: Path) -> PreparedVideo | None:
    """Convert for the MediaTools port; None where there is no frame. Raises as ``convert``."""
    track = convert(source, target_dir)
    if isinstance(track, EmptyTrack) or track.kind is not TrackKind.VIDEO:
        return None
    return prepared(track, source)


def prepared(track: TrackFile, source: Path) -> PreparedVideo:
    """Return a converted video track as the MediaTools port describes it. Raises OSError."""
    last_ms = _last_received_ms(source)
    return PreparedVideo(
        path=track.path,
        codec=track.codec,
        zero_us=track.started_us - round(track.ahead_ms * 1000),
        first_us=track.first_ms * 1000,
        end_us=track.duration_ms * 1000,
        drift_ppm=track.drift_ppm,
        packets_received=track.packets_received,
        packets_lost=track.packets_lost,
        frames=track.frames,
        gaps=len(track.gaps),
        still=track.still,
        beat_us=track.beat_ms * 1000,
        created_us=track.created_us,
        started_us=track.started_us,
        received_us=None if last_ms is None else track.started_us + last_ms * 1000,
        notes=track.warnings,
        turns=tuple(Rotation(one.at_ms * 1000, one.degrees) for one in track.rotations),
        left_out_us=track.left_out_ms * 1000,
        following=tuple(prepared(one, source) for one in track.following),
    )


def _last_received_ms(source: Path) -> int | None:
    with opened(source) as number:
        size = os.fstat(number).st_size
        return last_offset_ms(os.pread(number, TAIL_BYTES, max(0, size - TAIL_BYTES)))


def convert(source: Path, target_dir: Path) -> TrackFile | EmptyTrack:
    """Write ``<name>`` with the suffix of the container of its codec.

    The file's time 0 is the receipt of the first packet; lost media leaves a gap of its length.
    ``target_dir`` is made where missing; a file of that name is replaced.

    Raises:
        JobFailed: stage ``preprocess``; permanent: ``UNREADABLE_MJR``, ``UNSUPPORTED_CODEC``,
            ``ENCRYPTED_MJR``, ``PICTURE_TOO_LARGE`` and ``LIMIT_EXCEEDED``; temporary:
            ``MISSING_FILE``, ``MUX_FAILED``, ``NO_SPACE`` and ``IO_ERROR``.
    """
    with failures(source):
        target_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = recording(source)
        if found is None:
            return EmptyTrack(source, "the file ends before its first packet")
        return _convert(found, target_dir / base_name(source))


@contextmanager
def failures(source: Path) -> Iterator[None]:
    """Convert errors of the work on that file into JobFailed."""
    try:
        yield
    except Malformed as exc:
        raise _failed(JobCode.UNREADABLE_MJR, exc.detail, source, permanent=True) from exc
    except OSError as exc:  # libav's too, where it passes on an error of the system
        raise refused(_STAGE, exc, file=source.name) from exc
    except av.FFmpegError as exc:
        raise _failed(JobCode.MUX_FAILED, str(exc), source) from exc


def recording(source: Path) -> Recording | None:
    """Open a recording and read its header. None: the file ends before its first packet.

    Raises:
        Malformed, OSError: the file cannot be read.
        JobFailed: the media is encrypted, or the codec is not supported.
    """
    reader = Reader(_mapped(source))
    header = reader.header
    if header is None:
        return None
    if header.encrypted:
        detail = "the media is encrypted end to end"
        raise _failed(JobCode.ENCRYPTED_MJR, detail, source, permanent=True)
    codec = _codec(header)
    if codec is None:
        detail = f"codec {header.codec!r} is not supported"
        raise _failed(JobCode.UNSUPPORTED_CODEC, detail, source, permanent=True)
    return Recording(source, reader, header, codec)


def _codec(header: Header) -> VideoInputCodec | AudioInputCodec | None:
    match header.kind:
        case Kind.VIDEO:
            return VIDEO_INPUT.get(header.codec)
        case Kind.AUDIO:
            return AUDIO_INPUT.get(header.codec)
        case Kind.DATA:
            return None
    assert_never(header.kind)


def _convert(found: Recording, base: Path) -> TrackFile | EmptyTrack:
    codec = found.codec
    track = (
        _convert_video(found, codec, base)
        if isinstance(codec, VideoInputCodec)
        else _convert_audio(found, codec, base)
    )
    return track if isinstance(track, TrackFile) else EmptyTrack(found.source, track)


def _convert_video(found: Recording, codec: VideoInputCodec, base: Path) -> TrackFile | str:
    """Convert a track: one file, or one for each stretch where the codec changes in mid-file."""
    runs = CodecRuns(recognised, codec.name)
    first = _convert_run(found, codec, base, runs)
    tracks = [first] if isinstance(first, TrackFile) else []
    for number, (_, _, name) in enumerate(runs.changes[:_MOST_CHANGES], 1):
        later = VIDEO_INPUT[name]
        wanted = CodecRuns(recognised, codec.name, number)
        named = base.with_name(f"{base.name}-{number + 1}")
        track = _convert_run(found, later, named, wanted)
        tracks += [replace(track, codec=name)] if isinstance(track, TrackFile) else []
    if not tracks:
        return first
    main, *rest = tracks
    warnings = (*main.warnings, *codec_warnings(runs.changes, runs.unknown))
    # Each part was measured against the whole file.
    rest_ms = sum(one.duration_ms - one.first_ms for one in rest)
    return replace(
        main,
        warnings=warnings,
        left_out_ms=max(main.left_out_ms - rest_ms, 0),
        following=tuple(replace(one, left_out_ms=0) for one in rest),
    )


def _convert_run(
    found: Recording, codec: VideoInputCodec, base: Path, runs: CodecRuns
) -> TrackFile | str:
    reader, header = found.reader, found.header
    stream = MediaStream(reader, VIDEO_CLOCK_HZ, runs)
    assembler = Assembler(stream.places(), reader.buffer, depacketizer(codec.name, header.fmtp))
    frames = assembler.frames()
    first = next(frames, None)
    if first is None or first.frame.size is None:
        return "it holds no key frame" if stream.received else "it holds no packet"
    stats = TrackStats(VIDEO_CLOCK_HZ // 1000, lambda: assembler.lost_at)
    target = _named(base, codec.suffixes[0])
    with finished(target) as part:
        noted = noted_frames(chain([first], frames), stats, found.source)
        write_video(part, codec, first.frame.size, noted)
    warnings = stream_warnings(reader, stream) + frame_warnings(assembler)
    return stats.track(target, header, stream, TrackKind.VIDEO, assembler.turns, warnings)


def noted_frames(
    frames: Iterable[TimedFrame], stats: TrackStats, source: Path
) -> Iterator[TimedFrame]:
    """Yield the frames unchanged, and add each to ``stats``.

    Raises:
        JobFailed: a frame has more than ``MAX_PIXELS``.
    """
    note = stats.note
    for timed in frames:
        time, frame = timed
        note(time)
        if frame.key:
            width, height = frame.size or (0, 0)
            if width * height > MAX_PIXELS:
                detail = f"holds a frame of {width}x{height}; at most {MAX_PIXELS} pixels are read"
                raise _failed(JobCode.PICTURE_TOO_LARGE, detail, source, permanent=True)
            stats.note_key(time, frame.size)
        yield timed


def _convert_audio(found: Recording, codec: AudioInputCodec, base: Path) -> TrackFile | str:
    reader = found.reader
    stream = MediaStream(reader, codec.clock_hz)
    stats = TrackStats(codec.clock_hz // 1000)
    target = _named(base, codec.suffix)
    match codec.name:
        case "opus" | "red":
            packets = _opus_packets(stream, found, stats)
            written = _written(target, packets, write_opus)
        case "pcmu" | "pcma":
            samples = _g711_packets(stream, reader.buffer, stats)
            written = _written(target, samples, partial(write_g711, codec=codec.name))
        case _:
            assert_never(codec.name)
    if not written:
        return "it holds no audio"
    warnings = stream_warnings(reader, stream)
    return stats.track(target, found.header, stream, TrackKind.AUDIO, [], warnings)


def _written(
    target: Path, packets: Iterator[Packet], write: Callable[[Path, Iterable[Packet]], None]
) -> bool:
    """Write the file and return True; False where there is no packet."""
    first = next(packets, None)
    if first is None:
        return False
    with finished(target) as part:
        write(part, chain([first], packets))
    return True


def _opus_packets(
    stream: MediaStream, found: Recording, stats: TrackStats
) -> Iterator[tuple[int, bytes, int]]:
    """Yield (time, packet, length) of valid Opus packets that do not overlap earlier ones.

    Redundant blocks of a packet take the place of lost ones before it.
    """
    buffer, red_type = found.reader.buffer, found.header.red_type
    end = 0
    for packet in stream.packets():
        blocks = [(0, bytes(buffer[packet.start : packet.end]))]
        if found.codec.name == "red" or stream.payload_type == red_type:
            blocks = opus.red_blocks(blocks[0][1])
        for age, data in blocks if packet.gap else blocks[-1:]:
            time, samples = packet.time - age, opus.packet_samples(data)
            if samples is not None and time >= end:
                stats.note(time, samples)
                end = time + samples
                yield time, data, samples


def _g711_packets(
    stream: MediaStream, buffer: Buffer, stats: TrackStats
) -> Iterator[tuple[int, bytes]]:
    for packet in stream.packets():
        data = bytes(buffer[packet.start : packet.end])
        if data:
            stats.note(packet.time, len(data))
            yield packet.time, data


def _mapped(source: Path) -> Buffer:
    """Map a regular file into memory. Raises JobFailed, Malformed or OSError."""
    try:
        with opened(source) as descriptor:
            size = os.fstat(descriptor).st_size
            return mmap(descriptor, 0, access=ACCESS_READ) if size else b""
    except FileNotFoundError as exc:
        raise _failed(JobCode.MISSING_FILE, "the raw file does not exist", source) from exc
    except UnsafeFile as exc:
        raise Malformed(str(exc.strerror)) from exc


def _named(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)


def _failed(code: JobCode, detail: str, source: Path, *, permanent: bool = False) -> JobFailed:
    return JobFailed(_STAGE, code, detail, permanent=permanent, file=source.name)
