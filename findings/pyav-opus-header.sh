#!/usr/bin/env bash
# PyAV 18.1.0: Opus copied through add_mux_stream() gets no OpusHead, which WebM and Matroska do not complain about.
# Guess: all four containers refuse a stream of Opus without its header, as MP4 and Ogg do.
# Seen: MP4 and Ogg raise InvalidDataError. WebM and Matroska files have no CodecPrivate (RFC 7845 and the Matroska codec
# mappings ask for it), without an error or a warning: mono is read back as stereo, and the 312 samples of the encoder's
# delay are heard. With add_stream_from_template() all of it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np

FRAME = 960

with av.open("source.ogg", "w") as container:
    stream = container.add_stream("libopus", rate=48000, layout="mono")
    for number in range(50):
        samples = np.sin(np.arange(number * FRAME, (number + 1) * FRAME) * 2 * np.pi * 440 / 48000)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, number * FRAME
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def copied(suffix, add):
    name = f"{add.__name__}.{suffix}"
    try:
        with av.open("source.ogg") as source, av.open(name, "w") as target:
            stream = source.streams.audio[0]
            added = add(target, stream)
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = added
                    target.mux(packet)
    except av.InvalidDataError:
        return "InvalidDataError"
    with av.open(name) as container:
        context = container.streams.audio[0].codec_context
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return context.layout.name, samples, bool(context.extradata)


def mux_stream(target, stream):
    return target.add_mux_stream("opus", rate=48000, layout="mono")


def template(target, stream):
    return target.add_stream_from_template(stream)


seen = {suffix: copied(suffix, mux_stream) for suffix in ("webm", "mkv", "mp4", "ogg")}
right = {suffix: copied(suffix, template) for suffix in ("webm", "mkv")}
print(f"PyAV {av.__version__}: layout, samples read back, header: {seen}; from a template: {right}")
silent = ("stereo", 48312, False)
assert seen == {"webm": silent, "mkv": silent, "mp4": "InvalidDataError", "ogg": "InvalidDataError"}, "changed"
assert right == {"webm": ("mono", 48000, True), "mkv": ("mono", 48000, True)}, "changed"
PYTHON
