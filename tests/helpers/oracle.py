"""Reads from a merged file alone who is on screen when, how old that is, and where the beeps are.

What it finds is held against what was staged, and what does not fit becomes a complaint in words.
Nothing of the recording service is used, not even its grid.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise, product
from math import ceil, sqrt
from pathlib import Path
from statistics import median

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.adapters.simulated.pattern import read
from tests.helpers.staged import BEEP_S, START_MS, Staged, Track, beep_hz, colour

WIDTH, HEIGHT = 640, 480
FRAME_MS = 40
AUDIO_RATE = 16_000
LAST_FRAME_MS = 100  # how long a last frame stays at most
FROZEN_AFTER_MS = 1_000  # without frames, while the event says that somebody is there

Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """A rectangle on the canvas, px."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass
class Verdict:
    """What was seen and heard.

    complaints: what does not fit, each with its time. read, unread: tiles whose frame said who
    and when, and tiles known by their colour alone. repeats: of each track, how often its frame
    of before was read once more. lags_ms: of second n of the call, by how much its frames appear
    late; beeps_ms: by how much its beep is heard late.
    """

    complaints: list[str] = field(default_factory=list)
    frames_seen: int = 0
    read: int = 0
    unread: int = 0
    most: int = 0
    repeats: dict[Track, int] = field(default_factory=dict)
    lags_ms: dict[int, float] = field(default_factory=dict)
    beeps_ms: dict[int, float] = field(default_factory=dict)

    @property
    def readable(self) -> float:
        """The share of tiles that could be read."""
        return self.read / max(self.read + self.unread, 1)

    @property
    def apart_ms(self) -> float:
        """By how much audio and video are apart where it is worst; late audio is positive."""
        both = self.beeps_ms.keys() & self.lags_ms.keys()
        return max((self.beeps_ms[n] - self.lags_ms[n] for n in both), key=abs)


def assert_true_to_script(verdict: Verdict) -> None:
    """Nothing is amiss in what was read, and enough was read to say so."""
    assert verdict.complaints == []
    assert verdict.readable > 0.95
    assert abs(verdict.apart_ms) <= FRAME_MS


def judge(file: Path, call: Staged, *, check_audio: bool = True) -> Verdict:
    """Look at every frame and listen to every second of a merged file."""
    verdict, viewer = Verdict(), _Viewer(call)
    for at_ms, planes in _frames(file):
        viewer.look(at_ms, planes, verdict)
    verdict.lags_ms = viewer.lags_ms()
    verdict.repeats = viewer.repeats()
    expected = -(-round(call.seconds * 1000) // FRAME_MS)
    if verdict.frames_seen != expected:
        verdict.complaints.append(f"{verdict.frames_seen} pictures instead of {expected}")
    if check_audio:
        _listen(_audio(file), call, verdict)
    return verdict


class _Viewer:
    """Holds what the frames say against what was staged."""

    def __init__(self, call: Staged) -> None:
        users = list(dict.fromkeys(track.role.user for track in call.tracks))
        first = {u: min(t.role.start_s for t in call.tracks if t.role.user == u) for u in users}
        # In order of first joining, a user's own tracks in order of their first frame.
        self._tracks = sorted(
            (track for track in call.tracks if track.shown_ms),
            key=lambda t: (first[t.role.user], users.index(t.role.user), t.shown_ms[0]),
        )
        self._shown = {track: [ms - START_MS for ms in track.shown_ms] for track in self._tracks}
        self._index = {
            track: {ms: n for n, ms in enumerate(shown)} for track, shown in self._shown.items()
        }
        self._span = {track: _span(track, shown) for track, shown in self._shown.items()}
        self._appeared: dict[tuple[Track, int], float] = {}
        self._read = Counter[Track]()

    def look(self, at_ms: float, planes: Sequence[Plane], verdict: Verdict) -> None:
        """One frame of the file, which is shown in [at, at + 40)."""
        verdict.frames_seen += 1
        tried = []
        for cast in self._casts(at_ms + FRAME_MS / 2):
            tried.append((*self._compare(at_ms, cast, planes), len(cast)))
            if not tried[-1][0]:
                break
        said, read, count = min(tried, key=lambda one: len(one[0]))
        verdict.complaints += said
        verdict.unread += 0 if said else count - len(read)
        verdict.read += len(read)
        verdict.most = max(verdict.most, len(read))
        for track, clock_ms in read.items():
            self._appeared.setdefault((track, clock_ms), at_ms)
            self._read[track] += 1

    def repeats(self) -> dict[Track, int]:
        """Of each track, how often its frame of before was read once more."""
        distinct = Counter(track for track, _ in self._appeared)
        return {track: self._read[track] - distinct[track] for track in self._tracks}

    def lags_ms(self) -> dict[int, float]:
        """Of each second, the median of how late its frames appeared."""
        seconds = defaultdict[int, list[float]](list)
        for (track, clock_ms), at_ms in self._appeared.items():
            if not track.role.loss:  # a frame after a loss may have replaced a missing one
                seconds[clock_ms // 1000].append(at_ms - clock_ms)
        return {second: median(lags) for second, lags in seconds.items()}

    def _casts(self, at_ms: float) -> Iterator[tuple[Track, ...]]:
        """Who may be on screen; of those who come or go within the frame it may be either."""
        near = {
            track: (start - FRAME_MS <= at_ms < stop + FRAME_MS)
            and not (start + FRAME_MS <= at_ms < stop - FRAME_MS)
            for track, (start, stop) in self._span.items()
        }
        there = {track: start <= at_ms < stop for track, (start, stop) in self._span.items()}
        unsure = [track for track in self._tracks if near[track]]
        for changes in product((False, True), repeat=len(unsure)):
            changed = {track for track, change in zip(unsure, changes, strict=True) if change}
            yield tuple(t for t in self._tracks if there[t] != (t in changed))

    def _compare(
        self, at_ms: float, cast: Sequence[Track], planes: Sequence[Plane]
    ) -> tuple[list[str], dict[Track, int]]:
        """What does not fit if these are on screen, and which frame of whom was read."""
        when = f"{at_ms / 1000:.2f} s"
        said, read = [], {}
        rest = np.ones((HEIGHT, WIDTH), np.bool_)
        for track, place in zip(cast, _places(len(cast)), strict=True):
            rest[_around(place)] = False
            clock_ms, complaint = self._tile(at_ms, track, place, planes)
            if complaint:
                said.append(f"{when}: {complaint} where {track.role.user} should be")
            elif clock_ms is not None:
                read[track] = clock_ms
        # Encoding smears a little over the edges, never over a whole area.
        dark = planes[0][rest]
        if len(dark) and (dark.mean() > 24 or (dark > 60).mean() > 0.02):
            said.append(f"{when}: something where all should be black")
        return said, read

    def _tile(
        self, at_ms: float, track: Track, place: Place, planes: Sequence[Plane]
    ) -> tuple[int | None, str | None]:
        says = read(_cut(planes[0], place, 1))
        if says is None:
            return None, None if _coloured(planes, place, track.position) else "nobody"
        if (says.name, says.screen) != (track.role.user, track.role.stream == "sfuscreen"):
            return None, f"{says.name}{' (screen)' if says.screen else ''}"
        clock_ms = says.clock_ms - START_MS
        if not self._fits(track, clock_ms, at_ms):
            return None, f"a picture of {clock_ms / 1000:.3f} s"
        return clock_ms, None

    def _fits(self, track: Track, clock_ms: int, at_ms: float) -> bool:
        """Whether that frame was the latest at some time from a frame before to one after."""
        shown = self._shown[track]
        index = self._index[track].get(clock_ms)
        if index is None:
            return False
        until_ms = shown[index + 1] if index + 1 < len(shown) else float("inf")
        return clock_ms <= at_ms + FRAME_MS and until_ms > at_ms - FRAME_MS


def _span(track: Track, shown: Sequence[int]) -> tuple[float, float]:
    """From the first frame until the last one is over; who is there longer stands still."""
    last = shown[-1] - shown[-2] if len(shown) > 1 else FRAME_MS
    over_ms, told_ms = shown[-1] + min(last, LAST_FRAME_MS), track.role.stop_s * 1000
    return shown[0], told_ms if told_ms - over_ms > FROZEN_AFTER_MS else over_ms


def _frames(file: Path) -> Iterator[tuple[float, tuple[Plane, ...]]]:
    """(time in ms, luma and both chroma planes) of every frame."""
    with av.open(str(file)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            assert (frame.width, frame.height) == (WIDTH, HEIGHT)
            flat = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8).reshape(-1)
            luma, chroma = WIDTH * HEIGHT, WIDTH * HEIGHT // 4
            planes = (
                flat[:luma].reshape(HEIGHT, WIDTH),
                flat[luma : luma + chroma].reshape(HEIGHT // 2, WIDTH // 2),
                flat[luma + chroma :].reshape(HEIGHT // 2, WIDTH // 2),
            )
            yield float(frame.pts * Fraction(frame.time_base) * 1000), planes


def _audio(file: Path) -> NDArray[np.int16]:
    """All of it, mono, at ``AUDIO_RATE``."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=AUDIO_RATE)
    with av.open(str(file)) as container:
        frames = [out for one in container.decode(audio=0) for out in resampler.resample(one)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.int16)


def _places(count: int) -> list[Place]:
    """Where so many frames of 4:3 stand: fitted into even cells, in reading order."""
    columns = ceil(sqrt(count))
    rows = ceil(count / max(columns, 1))
    places = []
    for number in range(count):
        row, column = divmod(number, columns)
        xs = [round(WIDTH * (column + side) / columns / 2) * 2 for side in (0, 1)]
        ys = [round(HEIGHT * (row + side) / rows / 2) * 2 for side in (0, 1)]
        width = round(min(xs[1] - xs[0], (ys[1] - ys[0]) * 4 / 3) / 2) * 2
        height = round(width * 3 / 4 / 2) * 2
        left, top = (sum(xs) - width) // 2, (sum(ys) - height) // 2
        places.append(Place(left, top, left + width, top + height))
    return places


def _around(place: Place) -> tuple[slice, slice]:
    """With two pixels more on each side: edges may be rounded in another way."""
    return (
        slice(max(place.top - 2, 0), place.bottom + 2),
        slice(max(place.left - 2, 0), place.right + 2),
    )


def _cut(plane: Plane, place: Place, step: int) -> Plane:
    return plane[place.top // step : place.bottom // step, place.left // step : place.right // step]


def _coloured(planes: Sequence[Plane], place: Place, position: int) -> bool:
    """Whether the upper third, where names stand, has the seat's colour."""
    upper = replace(place, bottom=place.top + (place.bottom - place.top) // 3)
    u, v = (float(np.median(_cut(plane, upper, 2))) for plane in planes[1:])
    red, green, blue = colour(position)
    wanted_u = 128 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255
    wanted_v = 128 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255
    return abs(u - wanted_u) < 12 and abs(v - wanted_v) < 12


def _listen(samples: NDArray[np.int16], call: Staged, verdict: Verdict) -> None:
    """Every whole second of the mix begins with its own beep, and there are no others."""
    mix = call.mix
    assert mix is not None
    length_s = len(samples) / AUDIO_RATE
    if abs(length_s - call.seconds) > FRAME_MS / 1000:
        verdict.complaints.append(f"{length_s:.3f} s of sound instead of {call.seconds:.3f} s")
    onsets = _onsets(samples)
    first, last = max(mix.start_s - mix.lag_s, 0), min(mix.stop_s - mix.lag_s, call.seconds)
    wanted = [n for n in range(int(call.seconds) + 1) if first <= n <= last - 2 * BEEP_S]
    by_second = defaultdict[int, list[float]](list)
    for at_s in onsets:
        by_second[round(at_s)].append(at_s)
    for second in wanted:
        near = [at_s for at_s in by_second[second] if abs(at_s - second) < 0.4]
        if len(near) != 1:
            verdict.complaints.append(f"{second} s: {len(near)} beeps are heard")
            continue
        hz = _pitch(samples, near[0])
        if abs(hz - beep_hz(second)) > 60:
            verdict.complaints.append(f"{second} s: {hz:.0f} Hz instead of {beep_hz(second)} Hz")
        verdict.beeps_ms[second] = (near[0] - second) * 1000
    for one, following in pairwise(onsets):
        if following - one < 0.5:
            verdict.complaints.append(f"{following:.2f} s: a beep that nobody made")


def _onsets(samples: NDArray[np.int16]) -> list[float]:
    """When each beep begins, s: half its loudness after a tenth of a second below."""
    width = AUDIO_RATE // 500
    blocks = samples[: len(samples) // width * width].reshape(-1, width).max(axis=1)
    above = np.flatnonzero(blocks > np.percentile(blocks, 95) / 2)
    starts = [i for n, i in enumerate(above) if n == 0 or i - above[n - 1] > 50]
    return [float(i) * width / AUDIO_RATE for i in starts]


def _pitch(samples: NDArray[np.int16], at_s: float) -> float:
    part = samples[round((at_s + 0.02) * AUDIO_RATE) : round((at_s + 0.1) * AUDIO_RATE)]
    strength = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    return float(strength.argmax()) * AUDIO_RATE / (8 * len(part))
