"""Watch of the encryption key: says in time that it expires, to the log, to health and to metrics.

``KeyWatch`` checks the key once an hour. What a worker does once it has expired is in
``obstacles``.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.ports.storage import Encryptor
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.obstacles import KEY

KEY_CHECK_S: Final = 3_600.0
KEY_WARN_DAYS: Final = 30
_DAY_S: Final = 86_400

log = logging.getLogger(__name__)


class KeyWatch:
    """Checks of the encryption key, and the warning before it expires.

    Args:
        encryptor: has the key.
        clock: wall clock.
        report: receives the state of the part ``encryption``.

    Attributes:
        left_s: seconds until the key expires, 0 once it has; infinite: never, or not known yet.
    """

    def __init__(
        self, encryptor: Encryptor, clock: Clock, report: Callable[[str, bool, str], None]
    ) -> None:
        self._expires_s = math.inf  # epoch seconds
        self._encryptor = encryptor
        self._clock = clock
        self._report = report

    @property
    def left_s(self) -> float:
        """See ``KeyWatch``."""
        return max(self._expires_s - self._clock.now().wall_ms / 1000, 0.0)

    async def run(self) -> None:
        """Check once an hour, until cancelled."""
        while True:
            try:
                await self.check()
            except Exception as bug:  # which must not end the watch
                log.warning("worker.keyCheckFailed", exc_info=True, extra={"why": repr(bug)})
            await asyncio.sleep(KEY_CHECK_S)

    async def check(self) -> None:
        """Check the key now; log and report what an operator has to know."""
        try:
            expires_s = await self._encryptor.check()
        except JobFailed as error:
            log.warning("worker.keyCheckFailed", extra={"why": error.detail})
            self._report(KEY, False, error.detail)
            return
        self._expires_s = math.inf if expires_s is None else expires_s
        days = days_left(self.left_s)
        if days is not None:
            log.warning("worker.keyExpires", extra={"days": days})
        self._report(KEY, True, "" if days is None else f"the key expires in {days} days")


def days_left(left_s: float) -> int | None:
    """Return the whole days until a key expires; None: more than a month."""
    return int(left_s // _DAY_S) if left_s <= KEY_WARN_DAYS * _DAY_S else None
