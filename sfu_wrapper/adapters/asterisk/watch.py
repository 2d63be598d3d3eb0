"""Notice recordings that end at Asterisk without any event.

Where somebody ends the recording channel or its MixMonitor, or the disk is full, Asterisk says
nothing: the file is closed or grows no longer, and that is all. Files are looked at once a second,
all of them in one go; the one request to Asterisk that goes with it is a ping, since one that hangs
writes nothing either and is none of this. Nothing is looked at while nothing is recorded.
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
CLOSED_S: Final = 0.9  # its event comes long before that
STALLED_S: Final = 3.4  # Asterisk writes every 2.05 s
_PROMPT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file when it was last seen to change; loop time."""

    size: Size
    at_s: float


class FileWatch:
    """Looks again and again. conferences: every one that there is."""

    def __init__(
        self, ami: Ami, folder: Folder, conferences: Callable[[], Iterable[Conference]]
    ) -> None:
        self._ami = ami
        self._folder = folder
        self._conferences = conferences
        self._seen: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self._folder.ours is not None:
                await self._look()

    async def _look(self) -> None:
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
