#!/usr/bin/env bash
# dav1d in PyAV 18.1.0: of AV1 that declares a spatial layer and leaves it out, several threads show one frame.
# Guess: the number of threads does not change which frames are shown.
# Seen: with one thread all 50 frames, with four threads the last one alone, without an error. The sequence header
# declares two spatial layers, every frame is of the lower one, and there are no temporal delimiters, as in MP4 and
# WebM. Chromium 156 sends such video on a slow uplink (scalabilityMode L2T3), and shows nothing of its recording.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
SVT_LOG=1 venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

DELIMITER, SEQUENCE_HEADER = 2, 1


def units(data):
    """The units of a packet: type, first byte, and what follows it."""
    position = 0
    while position < len(data):
        size = shift = 0
        start = position + 1
        while True:
            size |= (data[start] & 127) << shift
            shift, start = shift + 7, start + 1
            if data[start - 1] < 128:
                break
        yield data[position] >> 3 & 15, data[position], data[position + 1 : start + size]
        position = start + size


def layered(data):
    """The packet with two spatial layers declared, and its frames in the lower one."""
    parts = []
    for kind, first, rest in units(data):
        if kind == SEQUENCE_HEADER:
            body = int.from_bytes(rest[1:], "big")
            length = 8 * len(rest[1:])
            assert body >> length - 24 == 0  # no timing, one operating point, no layers
            body |= 0b0011_00000001 << length - 24
            rest = rest[:1] + body.to_bytes(length // 8, "big")
            parts.append(bytes([first]) + rest)
        elif kind != DELIMITER:
            parts.append(bytes([first | 4, 0]) + rest)
    return b"".join(parts)


def encoded():
    encoder = av.CodecContext.create("libsvtav1", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"preset": "12", "svtav1-params": "pred-struct=1:lp=1"}
    for number in range(50):
        pixels = np.full((64, 64, 3), number, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def shown(packets, threads):
    decoder = av.CodecContext.create("libdav1d", "r")
    decoder.thread_count = threads
    return sum(len(decoder.decode(packet)) for packet in [*map(av.Packet, packets), None])


packets = [layered(bytes(packet)) for packet in encoded()]
seen = {threads: shown(packets, threads) for threads in (1, 4)}
print(f"PyAV {av.__version__}, {av.library_versions['libavcodec']}: frames by threads: {seen}")
assert seen == {1: 50, 4: 1}, "changed"
PYTHON
