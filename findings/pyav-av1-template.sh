#!/usr/bin/env bash
# PyAV 18.1.0: add_stream_from_template() does not take a stream of AV1.
# Guess: a stream of any codec that the container knows can be copied.
# Seen: UnknownCodecError: libdav1d, since an encoder is looked up by the name of the decoder. With opaque=True, which
# looks for none, the copy is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
SVT_LOG=1 venv/bin/python - <<'PYTHON'
import av
import numpy as np

with av.open("source.webm", "w") as container:
    stream = container.add_stream("libsvtav1", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    for _ in range(5):
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def copied(name, **options):
    with av.open("source.webm") as source, av.open(name, "w") as target:
        stream = source.streams.video[0]
        try:
            copy = target.add_stream_from_template(stream, **options)
        except av.codec.codec.UnknownCodecError as error:
            return str(error)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    with av.open(name) as container:
        return len(list(container.decode(video=0)))


seen = copied("plain.webm"), copied("opaque.webm", opaque=True)
print(f"PyAV {av.__version__}: a copy without and with opaque: {seen}")
assert seen == ("libdav1d", 5), "changed"
PYTHON
