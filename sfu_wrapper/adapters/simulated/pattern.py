"""Test pattern of a simulated participant, readable by people and programs: drawing and reading.

A frame shows name, room, token, a running clock and a moving bar on the participant's colour.
Its lower third is a strip of 8 rows of 32 black or white cells, 256 bits, most significant first:

    20 bytes  user name, ASCII, padded with NUL (``label`` shortens longer ones)
     4 bytes  token of the plane's run
     6 bytes  5 bits magic, 1 bit screen (not camera), 42 bits clock in epoch ms
     2 bytes  CRC-16 (CCITT) of the 30 bytes before

The cells are large enough to be read after the frame was scaled into a tile and encoded again at
low quality. Frames are 4:3. Pure: no clock, no files, no randomness.
"""

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Plane = NDArray[np.uint8]

COLUMNS: Final = 32
ROWS: Final = 8
_FRAME_ROWS: Final = 24  # the height of a frame in cells; 32:24 is 4:3
_NAME_BYTES: Final = 20
_MAGIC: Final = 0b10110
_CLOCK_BITS: Final = 42
_BLACK: Final = 16  # limited range, as cameras deliver
_WHITE: Final = 235
_NEUTRAL: Final = 128
_BAR_PERIOD_MS: Final = 2000
_SHIFTS_PX: Final = (0, -1, 1, -2, 2)

# RGB, one per position; dark enough for white text, easy to tell apart.
PALETTE: Final = (
    (176, 32, 32),
    (24, 120, 40),
    (32, 64, 192),
    (150, 100, 0),
    (128, 32, 144),
    (0, 116, 128),
    (190, 70, 20),
    (90, 90, 100),
    (180, 40, 100),
    (70, 60, 160),
    (90, 120, 20),
    (120, 76, 50),
)


@dataclass(frozen=True, slots=True)
class StripData:
    """Content of a strip.

    Attributes:
        name: user name, as ``label`` returns it.
        token: 8 hex digits.
        screen: True for a screen, False for a camera.
        clock_ms: time of the frame, epoch ms.
    """

    name: str
    token: str
    screen: bool
    clock_ms: int


def label(user: str) -> str:
    """Return the user's name as the strip holds it: shortened beyond 20 characters."""
    if len(user) <= _NAME_BYTES:
        return user
    return f"{user[:13]}~{sha256(user.encode()).hexdigest()[:6]}"


class Pattern:
    """Test pattern of one participant; its static parts are drawn once.

    Args:
        reading: user, token and kind of stream; its clock is not used.
        room: room to show, not part of the strip.
        position: position in the room, selects the colour.
        width_px: width of a frame, a multiple of 32; the height is three quarters of it.
    """

    def __init__(self, reading: StripData, room: str, position: int, width_px: int) -> None:
        if width_px % COLUMNS or width_px <= 0:
            raise ValueError(f"width_px must be a multiple of {COLUMNS}, got {width_px}")
        self._cell = width_px // COLUMNS
        self._who = reading
        self._still = _still(reading, room, position, self._cell)
        self._digits = _glyphs(4 * self._cell)

    def frame(self, clock_ms: int) -> Plane:
        """Draw the frame at ``clock_ms``: yuv420p as PyAV takes it, (height * 3 / 2, width)."""
        cell, image = self._cell, self._still.copy()
        self._write_clock(image, clock_ms)
        x = clock_ms % _BAR_PERIOD_MS * (COLUMNS - 1) * cell // _BAR_PERIOD_MS
        image[14 * cell : 15 * cell, x : x + cell] = _WHITE
        bits = _encode(self._who, clock_ms)
        cells = np.where(bits, np.uint8(_WHITE), np.uint8(_BLACK))
        top = (_FRAME_ROWS - ROWS) * cell
        image[top : top + ROWS * cell] = cells.repeat(cell, axis=0).repeat(cell, axis=1)
        return image

    def _write_clock(self, image: Plane, clock_ms: int) -> None:
        x, top = 2 * self._cell, 9 * self._cell
        for character in _clock_text(clock_ms):
            glyph = self._digits[character]
            height, width = glyph.shape
            image[top : top + height, x : x + width] = glyph
            x += width


def read(luma: Plane) -> StripData | None:
    """Return the content of a frame's strip; None where no strip can be read.

    Args:
        luma: luma of the frame, or of the tile of a composition that it was fitted into (aspect
            ratio kept, centred), at any size from about 200 x 150 px.
    """
    height, width = luma.shape
    cell = min(width / COLUMNS, height / _FRAME_ROWS)
    left = (width - COLUMNS * cell) / 2
    top = (height - _FRAME_ROWS * cell) / 2 + (_FRAME_ROWS - ROWS) * cell
    for bits in _samples(luma, left, top, cell):
        reading = _decode(bits)
        if reading is not None:
            return reading
    return None


def _samples(luma: Plane, left: float, top: float, cell: float) -> Iterator[NDArray[np.bool_]]:
    """Yield the strip as bits: at the expected place first, then shifted by a pixel or two."""
    within = np.array((0.3, 0.5, 0.7))
    xs = (left + (np.arange(COLUMNS)[:, None] + within) * cell).ravel().astype(int)
    ys = (top + (np.arange(ROWS)[:, None] + within) * cell).ravel().astype(int)
    for dy, dx in product(_SHIFTS_PX, _SHIFTS_PX):
        rows = np.clip(ys + dy, 0, luma.shape[0] - 1)
        columns = np.clip(xs + dx, 0, luma.shape[1] - 1)
        points = luma[np.ix_(rows, columns)].reshape(ROWS, 3, COLUMNS, 3)
        cells = points.mean(axis=(1, 3))
        yield cells > (float(cells.min()) + float(cells.max())) / 2


def _encode(who: StripData, clock_ms: int) -> NDArray[np.bool_]:
    tail = (_MAGIC << 1 | who.screen) << _CLOCK_BITS | clock_ms
    body = (
        label(who.name).encode("ascii", "replace").ljust(_NAME_BYTES, b"\0")
        + bytes.fromhex(who.token)
        + tail.to_bytes(6, "big")
    )
    data = body + crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.bool_).reshape(ROWS, COLUMNS)


def _decode(bits: NDArray[np.bool_]) -> StripData | None:
    data = np.packbits(bits).tobytes()
    body, crc = data[:-2], int.from_bytes(data[-2:], "big")
    tail = int.from_bytes(body[-6:], "big")
    name = body[:_NAME_BYTES].rstrip(b"\0")
    if crc_hqx(body, 0xFFFF) != crc or tail >> _CLOCK_BITS + 1 != _MAGIC or not name.isascii():
        return None
    return StripData(
        name=name.decode("ascii"),
        token=body[_NAME_BYTES : _NAME_BYTES + 4].hex(),
        screen=bool(tail >> _CLOCK_BITS & 1),
        clock_ms=tail & (1 << _CLOCK_BITS) - 1,
    )


def _clock_text(clock_ms: int) -> str:
    tenths = clock_ms // 100
    seconds = tenths // 10
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return f"{hours:02}:{minutes:02}:{seconds % 60:02}.{tenths % 10} UTC"


def _still(who: StripData, room: str, position: int, cell: int) -> Plane:
    """Draw the static parts as yuv420p."""
    width, height = COLUMNS * cell, _FRAME_ROWS * cell
    image = Image.new("RGB", (width, height), PALETTE[position % len(PALETTE)])
    draw = ImageDraw.Draw(image)
    title = f"{who.name} (screen)" if who.screen else who.name
    _write(draw, title, (cell, cell // 2), width - 2 * cell, 4 * cell)
    _write(draw, f"room {room}", (cell, 5 * cell), width - 2 * cell, 3 * cell // 2)
    _write(draw, f"token {who.token}", (cell, 7 * cell), width - 2 * cell, 3 * cell // 2)
    draw.rectangle((0, 9 * cell - cell // 4, width, height), fill="black")
    return _yuv420p(np.asarray(image, np.float32))


def _write(draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], room: int, size: int) -> None:
    """Write text in the largest font up to ``size`` px that fits; cut text that does not fit."""
    smallest = max(size // 3, 6)
    while size > smallest and draw.textlength(text, ImageFont.load_default(size)) > room:
        size -= 1
    font = ImageFont.load_default(size)
    while draw.textlength(text, font) > room:
        text = text[:-2] + "…"
    draw.text(at, text, fill="white", font=font)


@lru_cache(maxsize=4)
def _glyphs(size: int) -> dict[str, Plane]:
    """Draw the clock's characters, white on black luma, all digits of one width."""
    font = ImageFont.load_default(size)
    digit_px = max(int(font.getlength(digit)) + 1 for digit in "0123456789")
    glyphs = {}
    for character in "0123456789:. UTC":
        width = digit_px if character.isdigit() else int(font.getlength(character)) + 1
        image = Image.new("L", (width, size), _BLACK)
        ImageDraw.Draw(image).text((0, -size // 8), character, fill=_WHITE, font=font)
        glyphs[character] = np.asarray(image)
    return glyphs


def _yuv420p(rgb: NDArray[np.float32]) -> Plane:
    """Convert RGB (height, width, 3) to BT.601 limited range, planes below each other."""
    red, green, blue = (rgb[..., channel] for channel in range(3))
    luma = _BLACK + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    u = _NEUTRAL + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255
    v = _NEUTRAL + (112.0 * red - 93.786 * green - 18.214 * blue) / 255
    height, width = luma.shape
    chroma = [c[::2, ::2].reshape(height // 4, width) for c in (u, v)]
    return np.concatenate([luma, *chroma]).round().astype(np.uint8)
