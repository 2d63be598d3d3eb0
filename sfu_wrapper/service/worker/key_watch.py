"""Watch of the encryption key: says in time that it expires, to the log, to health and to metrics.

``KeyWatch`` checks the key once an hour. What a worker does once it has expired is in
``obstacles``.
"""

import asyncio
import logging
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
        left_s: seconds until the key expires, as of the last check; infinite: never.
    """

    def __init__(
        self, encryptor: Encryptor, clock: Clock, report: Callable[[str, bool, str], None]
    ) -> None:
        self.left_s = float("inf")
        self._encryptor = encryptor
        self._clock = clock
        self._report = report

    async def run(self) -> None:
        """Check once an hour, until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(KEY_CHECK_S)

    async def check(self) -> None:
        """Check the key now; log and report what an operator has to know."""
        try:
            expires_s = await self._encryptor.check()
        except JobFailed as error:
            log.warning("worker.keyCheckFailed", extra={"why": error.detail})
            self._report(KEY, False, error.detail)
            return
        self.left_s = float("inf")
        if expires_s is not None:
            self.left_s = expires_s - self._clock.now().wall_ms / 1000
        days = days_left(self.left_s)
        if days is not None:
            log.warning("worker.keyExpires", extra={"days": days})
        self._report(KEY, True, "" if days is None else f"the key expires in {days} days")


def days_left(left_s: float) -> int | None:
    """Return the whole days until a key expires; None: more than a month."""
    return int(left_s // _DAY_S) if left_s <= KEY_WARN_DAYS * _DAY_S else None
