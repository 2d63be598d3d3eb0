#!/usr/bin/env bash
# PyAV 18.1.0: set_display_rotation() on a stream of add_mux_stream() has no effect in Matroska and WebM.
# Guess: both ways to add a stream without an encoder write the rotation.
# Seen: with add_stream_from_template() the frames read back have rotation 90; with add_mux_stream() they have 0, and no
# error or warning is given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np

with av.open("source.webm", "w") as container:
    stream = container.add_stream("libvpx-vp9", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for _ in range(5):
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def copied(name, add):
    with av.open("source.webm") as source, av.open(name, "w") as target:
        stream = source.streams.video[0]
        added = add(target, stream)
        added.set_display_rotation(90)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = added
                target.mux(packet)
    with av.open(name) as container:
        return next(container.decode(video=0)).rotation


def template(target, stream):
    return target.add_stream_from_template(stream)


def mux_stream(target, stream):
    return target.add_mux_stream(
        "vp9", rate=10, width=64, height=48, time_base=stream.time_base
    )


seen = {
    (suffix, add.__name__): copied(f"{add.__name__}.{suffix}", add)
    for suffix in ("webm", "mkv")
    for add in (template, mux_stream)
}
print(f"PyAV {av.__version__}: rotation read back: {seen}")
assert seen == {
    ("webm", "template"): 90,
    ("webm", "mux_stream"): 0,
    ("mkv", "template"): 90,
    ("mkv", "mux_stream"): 0,
}, "changed"
PYTHON
