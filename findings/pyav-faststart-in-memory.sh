#!/usr/bin/env bash
# PyAV 18.1.0: MP4 with movflags=+faststart fails for a file object without a name.
# Guess: `+faststart` moves the index within the file object, as it does in a file.
# Seen: FileNotFoundError that names '<none>' when the container is closed. FFmpeg opens the output a second time, by
# its name, to move the data. Without the flag the same object works; a file object with a name works with it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import io

import av
import numpy as np


def write(target, **options):
    with av.open(target, "w", format="mp4", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


plain = io.BytesIO()
write(plain)
assert plain.getvalue().find(b"moov") > plain.getvalue().find(b"mdat") > 0
with open("named.mp4", "wb") as named:
    write(named, movflags="+faststart")
data = open("named.mp4", "rb").read()
assert 0 < data.find(b"moov") < data.find(b"mdat")
try:
    write(io.BytesIO(), movflags="+faststart")
except FileNotFoundError as error:
    assert error.filename == "<none>", error
    print(f"PyAV {av.__version__}: BytesIO with +faststart: {type(error).__name__}: {error}")
else:
    raise SystemExit("changed: +faststart works in memory")
PYTHON
