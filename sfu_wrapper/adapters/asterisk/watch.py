"""Watch for recordings that end at Asterisk without an event.

If another client ends the recording channel or its MixMonitor, or the disk is full, Asterisk sends
no event: the file is closed or stops growing. All files are checked once a second in one operation.
Each check sends one ping to Asterisk: while Asterisk hangs, no file grows and the check is skipped.
There are no checks while nothing is recorded.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, Declined
from sfu_wrapper.adapters.asterisk.conference import Conference, Nudge
from sfu_wrapper.adapters.asterisk.folder import Folder, Size
from sfu_wrapper.model.errors import Unavailable

PERIOD_S: Final = 1.0
CLOSED_S: Final = 0.9  # the event of a regular end comes long before
STALLED_S: Final = 3.4  # Asterisk writes every 2.05 s
_PROMPT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """Size of a file, and the loop time at which it last changed."""

    size: Size
    at_s: float


class FileWatch:
    """Periodic check of the files of all recordings.

    Args:
        ami: Client of the manager interface.
        folder: Folder for the mixes.
        conferences: Returns all conferences.
    """

    def __init__(
        self, ami: Ami, folder: Folder, conferences: Callable[[], Iterable[Conference]]
    ) -> None:
        self._ami = ami
        self._folder = folder
        self._conferences = conferences
        self._seen: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self._folder.ours is not None:
                await self._check()

    async def _check(self) -> None:
        pairs = ((each.written, each) for each in self._conferences())
        written = {name: each for name, each in pairs if name is not None}
        if not written or not await self._is_awake():
            self._seen = {}
            return
        now_s = asyncio.get_running_loop().time()
        sizes = await self._folder.sizes(tuple(written))
        self._seen = {name: self._noted(name, size, now_s) for name, size in sizes.items()}
        for name, seen in self._seen.items():
            limit_s = CLOSED_S if seen.size.whole else STALLED_S
            if now_s - seen.at_s >= limit_s:
                written[name].put(Nudge.STALLED)

    def _noted(self, name: str, size: Size, now_s: float) -> _Seen:
        before = self._seen.get(name)
        return before if before is not None and before.size == size else _Seen(size, now_s)

    async def _is_awake(self) -> bool:
        try:
            async with asyncio.timeout(_PROMPT_S):
                await self._ami.act("Ping")
        except (TimeoutError, Unavailable, Declined):
            return False
        return True
