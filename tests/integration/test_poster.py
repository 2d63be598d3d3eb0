"""The poster of a merged file."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sfu_wrapper.adapters.media.frames import write_poster
from sfu_wrapper.model.errors import JobFailed

BLACK, DIM, RED, BLUE = (0, 0, 0), (12, 12, 12), (200, 30, 30), (30, 30, 200)
S = 1_000_000


@pytest.fixture(scope="module")
def video_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black, red, dim, blue: two seconds each, a key frame at the beginning alone."""
    path = tmp_path_factory.mktemp("film") / "film.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", 10, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(80):
            colour = (BLACK, RED, DIM, BLUE)[number // 20]
            canvas = np.full((480, 640, 3), colour, np.uint8)
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def colour(image: Path) -> tuple[int, ...]:
    """What all of a frame is coloured in."""
    with Image.open(image) as opened:
        assert (opened.format, opened.size) == ("JPEG", (640, 480))
        return tuple(int(v) for v in np.asarray(opened).reshape(-1, 3).mean(axis=0))


@pytest.mark.parametrize(
    ("moments_us", "shown"),
    [
        ((3 * S,), RED),
        ((3 * S, 7 * S), RED),
        ((1 * S, 7 * S, 3 * S), BLUE),  # black is passed over
        ((1 * S, 5 * S), DIM),  # if all are dark, the brightest
        ((90 * S,), BLUE),  # beyond the end: the last frame
        ((), BLACK),
    ],
)
def test_the_first_moment_that_is_not_black_is_shown(
    video_file: Path, tmp_path: Path, moments_us: tuple[int, ...], shown: tuple[int, int, int]
) -> None:
    target = tmp_path / "poster.jpg"

    write_poster(video_file, moments_us, target)

    assert colour(target) == pytest.approx(shown, abs=8)


@pytest.mark.parametrize("size", [None, (2, 2)])
def test_a_poster_that_does_not_read_back_fails_the_attempt(
    video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] | None
) -> None:
    wrong = tmp_path / "wrong.jpg"
    if size is None:
        wrong.write_bytes(b"no picture")
    else:
        Image.new("RGB", size).save(wrong)
    content = wrong.read_bytes()
    monkeypatch.setattr(
        Image.Image, "save", lambda _, target, *__, **___: target.write_bytes(content)
    )

    with pytest.raises(JobFailed) as caught:
        write_poster(video_file, (3 * S,), tmp_path / "poster.jpg")

    assert (caught.value.stage, caught.value.code) == ("compose", "BAD_RESULT")
    assert not caught.value.permanent
