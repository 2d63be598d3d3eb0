"""One raw .mjr into one media file, by our own depacketisers.

What is kept of a recording is decided in ``formats``; here, which container it goes to and which
failures are for good. Runs to the end in the calling thread, for a second or so an hour of video:
nothing for an event loop.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from mmap import ACCESS_READ, mmap
from pathlib import Path

import av

from sfu_wrapper.adapters.media.inputs import opened
from sfu_wrapper.adapters.media.mux import (
    VIDEO_SUFFIX,
    base_name,
    finished,
    write_g711,
    write_opus,
    write_video,
)
from sfu_wrapper.adapters.media.track_stats import Account, picture_warnings, stream_warnings
from sfu_wrapper.adapters.os.beneath import UnsafeFile
from sfu_wrapper.adapters.os.os_errors import refused
from sfu_wrapper.core.plan import Turn
from sfu_wrapper.formats import g711, opus
from sfu_wrapper.formats.assemble import CLOCK_HZ, Assembler, Shot
from sfu_wrapper.formats.buffer import Buffer
from sfu_wrapper.formats.codecs import video_codec
from sfu_wrapper.formats.mjr import Header, Kind, Reader
from sfu_wrapper.formats.picture import VideoCodec
from sfu_wrapper.formats.stream import MediaStream
from sfu_wrapper.model.errors import JobFailed, Malformed
from sfu_wrapper.model.track import EmptyTrack, TrackFile, TrackKind
from sfu_wrapper.ports.media import PreparedVideo

MAX_PIXELS = 4096 * 4096  # a decoder takes several times as many bytes for each picture

_STAGE = "preprocess"
_OPUS = "opus"


@dataclass(frozen=True, slots=True)
class Recording:
    """One raw file that can be read. codec: None where it is sound."""

    source: Path
    reader: Reader
    header: Header
    codec: VideoCodec | None


def preprocess(source: Path, target_dir: Path) -> PreparedVideo | None:
    """As ``convert``, told in the words of the MediaTools port. None: it holds no picture."""
    track = convert(source, target_dir)
    if isinstance(track, EmptyTrack) or track.kind is not TrackKind.VIDEO:
        return None
    return prepared(track)


def prepared(track: TrackFile) -> PreparedVideo:
    """A video in the words of the MediaTools port."""
    return PreparedVideo(
        path=track.path,
        codec=track.codec,
        zero_us=track.started_us - round(track.ahead_ms * 1000),
        first_us=track.first_ms * 1000,
        end_us=track.duration_ms * 1000,
        drift_ppm=track.drift_ppm,
        packets_received=track.packets_received,
        packets_lost=track.packets_lost,
        gaps=len(track.gaps),
        notes=track.warnings,
        turns=tuple(Turn(one.at_ms * 1000, one.degrees) for one in track.rotations),
    )


def convert(source: Path, target_dir: Path) -> TrackFile | EmptyTrack:
    """Write ``<name>.webm`` (VP8, VP9), ``.mp4`` (H.264), ``.opus`` or ``.wav`` (G.711).

    The file's time 0 is the receipt of the first packet; what is missing is a hole of its length.
    ``target_dir`` is made where it is not there; a file of that name is replaced.

    Raises:
        JobFailed: stage ``preprocess``; for good ``UNREADABLE_MJR``, ``UNSUPPORTED_CODEC``,
            ``ENCRYPTED_MJR``, ``PICTURE_TOO_LARGE`` and ``LIMIT_EXCEEDED``; worth another try
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
    """Foreign errors of the work on that file become JobFailed."""
    try:
        yield
    except Malformed as exc:
        raise _failed("UNREADABLE_MJR", exc.detail, source, permanent=True) from exc
    except OSError as exc:  # libav's too, where it passes on what the system said
        raise refused(_STAGE, exc, file=source.name) from exc
    except av.FFmpegError as exc:
        raise _failed("MUX_FAILED", str(exc), source) from exc


def recording(source: Path) -> Recording | None:
    """Open it and look at its header. None: it ends before its first packet.

    Raises Malformed, OSError, or JobFailed where it cannot be read by anybody.
    """
    reader = Reader(_mapped(source))
    header = reader.header
    if header is None:
        return None
    if header.encrypted:
        detail = "the media is encrypted end to end"
        raise _failed("ENCRYPTED_MJR", detail, source, permanent=True)
    if header.kind is Kind.AUDIO and header.codec in {_OPUS, *g711.CODECS}:
        return Recording(source, reader, header, None)
    codec = video_codec(header.codec, header.fmtp) if header.kind is Kind.VIDEO else None
    if codec is None:
        detail = f"codec {header.codec!r} cannot be read"
        raise _failed("UNSUPPORTED_CODEC", detail, source, permanent=True)
    return Recording(source, reader, header, codec)


def _convert(found: Recording, base: Path) -> TrackFile | EmptyTrack:
    reader, header = found.reader, found.header
    track: TrackFile | str
    if found.codec is not None:
        track = _convert_video(found, found.codec, base)
    elif header.codec == _OPUS:
        track = _convert_opus(reader, header, base)
    else:
        track = _convert_g711(reader, header, base)
    return track if isinstance(track, TrackFile) else EmptyTrack(found.source, track)


def _convert_video(found: Recording, codec: VideoCodec, base: Path) -> TrackFile | str:
    reader, header = found.reader, found.header
    stream = MediaStream(reader, CLOCK_HZ)
    assembler = Assembler(stream.places(), reader.buffer, codec)
    shots = assembler.shots()
    first = next(shots, None)
    if first is None or first.picture.size is None:
        return "it holds no key frame" if stream.received else "it holds no packet"
    account = Account(CLOCK_HZ // 1000)
    target = _named(base, VIDEO_SUFFIX[header.codec])
    with finished(target) as part:
        noted = noted_shots(chain([first], shots), account, found.source)
        write_video(part, header.codec, first.picture.size, noted)
    warnings = stream_warnings(reader, stream) + picture_warnings(assembler)
    return account.track(target, header, stream, TrackKind.VIDEO, assembler.turns, warnings)


def noted_shots(shots: Iterable[Shot], account: Account, source: Path) -> Iterator[Shot]:
    """The same, each one noted. Raises JobFailed where one is larger than any camera makes it."""
    note = account.note
    for shot in shots:
        time, picture = shot
        note(time)
        if picture.key:
            width, height = picture.size or (0, 0)
            if width * height > MAX_PIXELS:
                detail = (
                    f"holds a picture of {width}x{height}; at most {MAX_PIXELS} pixels are read"
                )
                raise _failed("PICTURE_TOO_LARGE", detail, source, permanent=True)
            account.note_key(time, picture.size)
        yield shot


def _convert_opus(reader: Reader, header: Header, base: Path) -> TrackFile | str:
    stream = MediaStream(reader, opus.RATE)
    account = Account(opus.RATE // 1000)
    packets = _opus_packets(stream, reader.buffer, account)
    first = next(packets, None)
    if first is None:
        return "it holds no sound"
    target = _named(base, ".opus")
    with finished(target) as part:
        write_opus(part, chain([first], packets))
    warnings = stream_warnings(reader, stream)
    return account.track(target, header, stream, TrackKind.AUDIO, [], warnings)


def _opus_packets(
    stream: MediaStream, buffer: Buffer, account: Account
) -> Iterator[tuple[int, bytes, int]]:
    """(time, packet, length) of what is Opus and does not overlap what is already there."""
    end = 0
    for packet in stream.packets():
        data = bytes(buffer[packet.start : packet.end])
        samples = opus.packet_samples(data)
        if samples is not None and packet.time >= end:
            account.note(packet.time, samples)
            end = packet.time + samples
            yield packet.time, data, samples


def _convert_g711(reader: Reader, header: Header, base: Path) -> TrackFile | str:
    stream = MediaStream(reader, g711.RATE)
    account = Account(g711.RATE // 1000)
    packets = _g711_packets(stream, reader.buffer, account)
    first = next(packets, None)
    if first is None:
        return "it holds no sound"
    target = _named(base, ".wav")
    with finished(target) as part:
        write_g711(part, header.codec, chain([first], packets))
    warnings = stream_warnings(reader, stream)
    return account.track(target, header, stream, TrackKind.AUDIO, [], warnings)


def _g711_packets(
    stream: MediaStream, buffer: Buffer, account: Account
) -> Iterator[tuple[int, bytes]]:
    for packet in stream.packets():
        data = bytes(buffer[packet.start : packet.end])
        if data:
            account.note(packet.time, len(data))
            yield packet.time, data


def _mapped(source: Path) -> Buffer:
    """The file's bytes, without reading them all; only a regular file is ever waited for."""
    try:
        with opened(source) as descriptor:
            size = os.fstat(descriptor).st_size
            return mmap(descriptor, 0, access=ACCESS_READ) if size else b""
    except FileNotFoundError as exc:
        raise _failed("MISSING_FILE", "the raw file is not there", source) from exc
    except UnsafeFile as exc:
        raise Malformed(str(exc.strerror)) from exc


def _named(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)


def _failed(code: str, detail: str, source: Path, *, permanent: bool = False) -> JobFailed:
    return JobFailed(_STAGE, code, detail, permanent=permanent, file=source.name)
