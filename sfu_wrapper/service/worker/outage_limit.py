"""How long is waited for what is away, by somebody who is not to stay for ever."""

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.clock import Clock


class Patience:
    """limit_s: None waits as long as it takes. ended: what was away for longer, once that is so."""

    def __init__(self, clock: Clock, limit_s: float | None = None) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._since_ms: dict[str, int] = {}
        self.ended: Unavailable | None = None

    def away(self, what: str, why: str) -> bool:
        """It was asked for in vain once more. Whether there is no patience left, with anything."""
        now_ms = self._clock.now().mono_ms
        waited_s = (now_ms - self._since_ms.setdefault(what, now_ms)) / 1000
        if self.ended is None and self._limit_s is not None and waited_s >= self._limit_s:
            self.ended = Unavailable(f"{what} for {self._limit_s:g} s: {why}")
        return self.ended is not None

    def back(self, what: str) -> None:
        """It is there."""
        self._since_ms.pop(what, None)
