"""Progress bar on the last line of a terminal; log lines appear above it."""

from typing import Final

from sfu_wrapper.core.estimate import Standing
from sfu_wrapper.observe.logs import Stream

_WIDTH: Final = 30
_CLEAR: Final = "\r\033[K"  # back to the beginning of the line, and erase it


class Bar:
    """Progress bar, and a stream for log lines meanwhile."""

    def __init__(self, terminal: Stream) -> None:
        self._terminal = terminal
        self._line = ""

    def show(self, standing: Standing) -> None:
        """Draw the bar for this progress."""
        filled = int(_WIDTH * standing.percent / 100)
        bar = "#" * filled + "." * (_WIDTH - filled)
        done = f"{standing.stage:<10} [{bar}] {standing.percent:3.0f} %"
        self._draw(f"{done}, {clock(standing.eta_s)} left")

    def clear(self) -> None:
        """Erase the bar."""
        self._draw("")

    def write(self, text: str, /) -> object:
        """Write whole lines above the bar."""
        return self._terminal.write(f"{_CLEAR}{text}{self._line}" if self._line else text)

    def flush(self) -> object:
        """Flush the terminal."""
        return self._terminal.flush()

    def _draw(self, line: str) -> None:
        if line != self._line:
            self._terminal.write(f"{_CLEAR}{line}")
            self._terminal.flush()
        self._line = line


def clock(seconds: float) -> str:
    """Format seconds as ``5:09`` or ``1:05:09``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
