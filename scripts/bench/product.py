"""The way of merging that the product's text describes, as a script of ffmpeg commands.

A partial video for each interval with the same people on screen, the partial videos joined without
encoding again, the sound added at the end. What the text does not say is done as well as ffmpeg
does it in one command: accurate seeking, pictures at a constant rate, sizes that may change.
"""

from collections.abc import Sequence
from pathlib import Path

from inputs import Call
from measure import Cost, run

from sfu_wrapper.core.plan import AUDIO_BITS_PER_S, CANVAS_HEIGHT, CANVAS_WIDTH, FRAMES_PER_S, grid

FFMPEG = ("ffmpeg", "-nostdin", "-v", "error", "-y")
ONE_THREAD = ("-threads", "1")
"""For decoders as well; else ffmpeg gives each a thread a core."""


def same_settings(bits_per_s: int) -> list[str]:
    """Our own encoder settings in ffmpeg's words."""
    rate = str(bits_per_s)
    return [
        *("-c:v", "libvpx", "-b:v", rate, "-minrate", rate, "-maxrate", rate),
        *("-bufsize", str(bits_per_s * 4), "-g", "250", "-error-resilient", "0"),
        *("-deadline", "realtime", "-cpu-used", "-8", "-threads", "1"),
    ]


def default_settings(bits_per_s: int) -> list[str]:
    """What ffmpeg does where nobody says anything but the rate."""
    return ["-c:v", "libvpx", "-b:v", str(bits_per_s)]


def merge(
    call: Call, encoder: Sequence[str], folder: Path, target: Path, reader: Sequence[str] = ()
) -> Cost:
    """Write the merged file; parts of it go to ``folder``. reader: options of each input."""
    parts, cost = [], Cost(0, 0, 0)
    for number, interval in enumerate(call.intervals()):
        parts.append(folder / f"part-{number}.webm")
        start_s, stop_s = interval.start_us / 1e6, interval.stop_us / 1e6
        sources = _sources(call, interval.tracks, start_s, stop_s, reader)
        graph = ["-filter_complex", _graph(len(interval.tracks)), "-map", "[v]"]
        length = ["-t", f"{stop_s - start_s:.3f}", "-r", str(FRAMES_PER_S)]
        cost += run([*FFMPEG, *sources, *graph, *length, *encoder, str(parts[-1])])
    listing, joined = folder / "parts.txt", folder / "joined.webm"
    listing.write_text("".join(f"file '{part}'\n" for part in parts), encoding="utf-8")
    sources = ["-f", "concat", "-safe", "0", "-i", str(listing)]
    cost += run([*FFMPEG, *sources, "-c", "copy", str(joined)])
    both = ["-i", str(joined), "-i", str(call.mix), "-map", "0:v", "-map", "1:a"]
    sound = ["-c:v", "copy", "-c:a", "libopus", "-b:a", str(AUDIO_BITS_PER_S)]
    return cost + run([*FFMPEG, *both, *sound, str(target)])


def _sources(
    call: Call, tracks: tuple[int, ...], start_s: float, stop_s: float, reader: Sequence[str]
) -> list[str]:
    sources: list[str] = []
    for track in tracks:
        stay = call.stays[track]
        seek = ["-ss", f"{start_s - stay.start_s:.3f}", "-t", f"{stop_s - start_s:.3f}"]
        sources += [*seek, *reader, "-reinit_filter", "0", "-i", str(stay.path)]
    return sources


def _graph(count: int) -> str:
    canvas = f"{CANVAS_WIDTH}x{CANVAS_HEIGHT}"
    tiles = grid(count, CANVAS_WIDTH, CANVAS_HEIGHT)
    chains, layout = [], []
    for number, tile in enumerate(tiles):
        size = f"{tile.width}:{tile.height}"
        fitted = f"scale={size}:force_original_aspect_ratio=decrease:force_divisible_by=2"
        padded = f"pad={size}:(ow-iw)/2:(oh-ih)/2"
        chains.append(f"[{number}:v]fps={FRAMES_PER_S},{fitted},{padded},setsar=1[t{number}]")
        layout.append(f"{tile.x}_{tile.y}")
    if count == 0:
        return f"color=black:s={canvas}:r={FRAMES_PER_S},format=yuv420p[v]"
    if count == 1:
        return chains[0].replace("[t0]", ",format=yuv420p[v]")
    stacked = "".join(f"[t{number}]" for number in range(count))
    stack = f"{stacked}xstack=inputs={count}:layout={'|'.join(layout)}:fill=black"
    return ";".join([*chains, f"{stack},pad={canvas.replace('x', ':')},format=yuv420p[v]"])
