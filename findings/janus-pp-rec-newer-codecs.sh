#!/usr/bin/env bash
# janus-pp-rec 1.1.2 (Debian 12): recordings of AV1 and H.265 come out damaged, with exit code 0.
# Guess: a recording without loss gives a file with every frame, or an exit code that is not 0.
# Seen: AV1 with -t (index in front): a file that cannot be opened ("Unable to re-open output file"); without -t it is
# right. H.265 with parameter sets and information units (SEI) one by one: the fragmented SEI gets type 7 instead of
# 39, most frames are missing, and none can be decoded.
# Needs janus-tools 1.1.2 too.
set -euo pipefail
installed=$(dpkg-query -W -f '${Version}' janus-tools)
case "$installed" in 1.1.2*) ;; *) echo "this is about janus-tools 1.1.2, not $installed" >&2; exit 1 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
SVT_LOG=1 venv/bin/python - <<'PYTHON'
import json
import subprocess
from fractions import Fraction

import av
import numpy as np

MTU = 1100
OPTIONS = {
    "libsvtav1": {"preset": "12", "svtav1-params": "pred-struct=1:lp=1"},
    "libx265": {"tune": "zerolatency", "x265-params": "log-level=none:pools=1:repeat-headers=1"},
}


def encoded(name):
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.gop_size, encoder.options = 10, OPTIONS[name]
    for number in range(50):
        pixels = np.full((240, 320, 3), number, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def size_of(data, start):
    """A size of seven bits a byte, and the position after it."""
    size = shift = 0
    while True:
        size |= (data[start] & 127) << shift
        shift, start = shift + 7, start + 1
        if data[start - 1] < 128:
            return size, start


def written(size):
    return bytes([size & 127 | 128]) + written(size >> 7) if size > 127 else bytes([size])


def av1_payload(data, key):
    """The one packet of a small frame."""
    elements, position = [], 0
    while position < len(data):
        size, start = size_of(data, position + 1)
        if data[position] >> 3 != 2:  # no temporal delimiter
            elements.append(bytes([data[position] & ~2]) + data[start : start + size])
        position = start + size
    assert len(elements) < 4 and sum(map(len, elements)) < MTU
    first = b"".join(written(len(one)) + one for one in elements[:-1])
    return bytes([(8 if key else 0) | len(elements) << 4]) + first + elements[-1]


def h265_payloads(data):
    """Single units, and fragments of those that are longer."""
    for unit in [part.rstrip(b"\0") for part in data.split(b"\0\0\1")[1:]]:
        if len(unit) <= MTU:
            yield unit
            continue
        header = bytes([unit[0] & 0x81 | 49 << 1, unit[1]])
        for at in range(2, len(unit), MTU - 3):
            flags = (128 if at == 2 else 0) | (64 if at + MTU - 3 >= len(unit) else 0)
            yield header + bytes([flags | unit[0] >> 1]) + unit[at : at + MTU - 3]


def record(name, codec, frames):
    """Write an .mjr; frames: (number, payloads)."""
    header = json.dumps({"t": "v", "c": codec, "s": 1, "u": 2}).encode()
    content, sequence = b"MJR00002" + len(header).to_bytes(2, "big") + header, 0
    for number, payloads in frames:
        payloads = list(payloads)
        for index, payload in enumerate(payloads):
            marker = 128 if index == len(payloads) - 1 else 0
            fixed = bytes([128, marker | 96]) + sequence.to_bytes(2, "big")
            packet = fixed + (number * 3600).to_bytes(4, "big") + b"\0\0\0\5" + payload
            ms = (number * 40).to_bytes(4, "big")
            content, sequence = content + b"MEET" + ms + len(packet).to_bytes(2, "big") + packet, sequence + 1
    open(name, "wb").write(content)


def converted(name, *options):
    """Exit code, and the frames that can be decoded; None where the file cannot be opened."""
    done = subprocess.run(["janus-pp-rec", *options, name, "out.mp4"], capture_output=True)
    frames = 0
    try:
        with av.open("out.mp4", options={"advanced_editlist": "0"}) as container:
            for packet in container.demux(video=0):
                try:
                    frames += len(packet.decode())
                except av.FFmpegError:
                    pass
    except av.FFmpegError:
        return done.returncode, None
    return done.returncode, frames


av1, h265 = list(encoded("libsvtav1")), list(encoded("libx265"))
record("av1.mjr", "av1", ((p.pts, [av1_payload(bytes(p), p.is_keyframe)]) for p in av1))
record("h265.mjr", "h265", ((p.pts, h265_payloads(bytes(p))) for p in h265))
seen = {
    "AV1": converted("av1.mjr"),
    "AV1, -t": converted("av1.mjr", "-t"),
    "H.265": converted("h265.mjr"),
}
print(f"exit code and frames of 50: {seen}")
assert seen == {"AV1": (0, 50), "AV1, -t": (0, None), "H.265": (0, 0)}, "changed"
PYTHON
