"""Muxing of encoded frames and audio packets into containers, unchanged, with their timestamps.

A file appears under its name only when it is whole and on disk. ``formats`` decides what is kept.
Split video is written here as well, copied packet by packet.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Stream

from sfu_wrapper.adapters.media.av1_layers import with_true_layers
from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.adapters.media.encoder import WEBM_OPTIONS
from sfu_wrapper.adapters.media.track_stats import LAST_FRAME_MS
from sfu_wrapper.formats import g711, opus, wav
from sfu_wrapper.formats.assemble import TimedFrame, decoding_times
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ, VideoInputCodec

_MAX_NAME_BYTES = 200  # a file system takes 255
_TICKS_A_MS = VIDEO_CLOCK_HZ // 1000
_PRE_SKIP = slice(10, 12)  # of the OpusHead (RFC 7845, 5.1)
_WEBM = {"fflags": "+bitexact"}
_MP4 = {"fflags": "+bitexact", "movflags": "+faststart"}  # its index in front
# One packet a page, so that each has a time of its own and a hole stays where it is.
_OGG = {"fflags": "+bitexact", "page_duration": "1"}


def base_name(source: Path) -> str:
    """Return the name of a raw file's media file, without extension and short enough for more."""
    name = source.name.removesuffix(".mjr").encode()[:_MAX_NAME_BYTES]
    return name.decode(errors="ignore") or "raw"


@contextmanager
def finished(target: Path) -> Iterator[Path]:
    """Provide a temporary path with the same extension.

    After the block the file is synced and renamed to ``target``; after an error it is removed.
    """
    part = target.with_name(f".part.{target.name}")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_video(
    path: Path, codec: VideoInputCodec, size: tuple[int, int], frames: Iterable[TimedFrame]
) -> None:
    """Write WebM (times to the millisecond) or MP4 (to 1/90000 s), by the suffix of the path.

    Times rise strictly; frames with the same time are written one tick apart. Only MP4 holds frames
    that are decoded before others that are shown earlier. Raises av.FFmpegError.
    """
    webm = path.suffix == ".webm"
    container_format, options = ("webm", _WEBM) if webm else ("mp4", _MP4)
    divisor = _TICKS_A_MS if webm else 1
    width, height = size
    with av.open(str(path), "w", format=container_format, options=options) as container:
        time_base = Fraction(divisor, VIDEO_CLOCK_HZ)
        stream = container.add_mux_stream(
            codec.libav, width=width, height=height, time_base=time_base
        )
        mux = container.mux_one
        if webm:
            time = -1
            for at, frame in frames:
                rounded = (at + divisor // 2) // divisor
                time = rounded if rounded > time else time + 1
                mux(_packet(frame, stream, time_base, time, time))
            return
        longest, before = LAST_FRAME_MS * _TICKS_A_MS, -1
        for decoded, (at, frame) in decoding_times(frames):
            packet = _packet(frame, stream, time_base, max(at, decoded), decoded)
            # The index would end before a last frame of duration 0.
            packet.duration = min(max(decoded - before, 1), longest)
            before = decoded
            mux(packet)


def _packet(
    frame: CodedFrame, stream: Stream, time_base: Fraction, shown: int, decoded: int
) -> "av.Packet[Stream]":
    packet = av.Packet(frame.data)
    packet.stream = stream
    packet.time_base = time_base
    packet.pts, packet.dts = shown, decoded
    packet.is_keyframe = frame.key
    return packet


def write_opus(path: Path, packets: Iterable[tuple[int, bytes, int]]) -> None:
    """Write Ogg Opus from (time and length in samples at 48 kHz, with the packet between).

    Raises av.FFmpegError.
    """
    with av.open(str(path), "w", format="ogg", options=_OGG) as container:
        # The encoder encodes nothing: the muxer takes the stream's header from it.
        stream = container.add_stream("libopus", rate=opus.RATE, layout="stereo")
        container.start_encoding()
        # Decoders drop this many samples, to compensate the delay of the sender's encoder.
        skip = int.from_bytes((stream.codec_context.extradata or b"")[_PRE_SKIP], "little")
        for time, data, samples in packets:
            packet = av.Packet(data)
            packet.stream = stream
            packet.time_base = Fraction(1, opus.RATE)
            packet.pts = packet.dts = time - skip
            packet.duration = samples
            container.mux_one(packet)


def write_g711(path: Path, packets: Iterable[tuple[int, bytes]], codec: str) -> None:
    """Write a WAV of 16-bit PCM from (time in samples at 8 kHz, payload); holes are silence.

    Audio beyond the maximum length of a WAV file is left out. Raises OSError.
    """
    end = 0
    with path.open("r+b") as file:
        file.write(wav.header(0, rate=g711.RATE))
        for time, payload in packets:
            start = max(time, end)
            end_after = start + len(payload)
            if end_after * g711.SAMPLE_BYTES > wav.MAX_DATA_BYTES:
                break
            file.seek(wav.HEADER_BYTES + start * g711.SAMPLE_BYTES)  # unwritten bytes read 0
            file.write(g711.decode(codec, payload))
            end = end_after
        file.seek(0)
        file.write(wav.header(end * g711.SAMPLE_BYTES, rate=g711.RATE))


COPIES = {
    ".webm": ("webm", WEBM_OPTIONS),
    ".mp4": ("mp4", {"movflags": "+faststart", "fflags": "+bitexact"}),
}


def copy_video(
    source: Path, target: Path, codec: VideoInputCodec, pace: float = 1.0, rotation: int = 0
) -> None:
    """Copy the frames without re-encoding into a seekable file with its index in front.

    The first frame is at time 0, so that the file begins at the time given in the JSON file.
    Raises av.FFmpegError or OSError.

    Args:
        source: converted video file.
        target: path of the copy.
        codec: codec of the file.
        pace: duration of a second of the sender's clock; times are stretched by this factor.
        rotation: degrees clockwise by which players are to turn the frames.
    """
    container_format, options = COPIES[target.suffix]
    with (
        reading(source) as reader,
        av.open(target, "w", format=container_format, options=options) as writer,
    ):
        stream = reader.streams.video[0]
        # By default PyAV looks for an encoder of the decoder's name; AV1's decoder has another one.
        opaque = stream.codec_context.name != codec.libav
        copy = writer.add_stream_from_template(stream, opaque=opaque)
        if codec.mp4_tag and target.suffix == ".mp4":
            copy.codec_context.codec_tag = codec.mp4_tag
        if rotation:  # libav counts the other way round
            copy.set_display_rotation(-rotation)
        packets = reader.demux(stream)
        if codec.name == "av1":
            packets = with_true_layers(source, packets)
        for packet in _timed(packets, pace, reordered=target.suffix == ".mp4"):
            packet.stream = copy
            writer.mux(packet)


def _timed(
    packets: Iterable["av.Packet[av.VideoStream]"], pace: float, *, reordered: bool
) -> Iterator["av.Packet[av.VideoStream]"]:
    """Yield packets with times from 0 on; only MP4 holds B-frames, which are decoded later."""
    first: int | None = None
    last: int | None = None
    for packet in packets:
        if packet.pts is None:  # the end
            continue
        first = packet.pts if first is None else first
        shown = decoded = round((packet.pts - first) * pace)
        if reordered and packet.dts is not None:
            decoded = round((packet.dts - first) * pace)
        last = decoded if last is None else max(decoded, last + 1)
        packet.pts, packet.dts = max(shown, last), last
        yield packet
