"""The recording side of a WebRTC calling platform."""

import sys

__version__ = "0.2.0"

if sys.version_info < (3, 11, 3):
    # Debian 12 has 3.11.2. Corrected here, before any module can use a timeout, since each of the
    # product's would need the same care (docs/reference/compatibility.md, "Python").
    import asyncio
    from types import TracebackType

    _enter, _exit = asyncio.Timeout.__aenter__, asyncio.Timeout.__aexit__

    async def _entered(self: asyncio.Timeout) -> asyncio.Timeout:
        task = asyncio.current_task()
        self._before = 0 if task is None else task.cancelling()  # type: ignore[attr-defined]  # ours
        return await _enter(self)

    async def _exited(
        self: asyncio.Timeout,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise TimeoutError also in a task that was cancelled before, as from 3.11.3 on.

        Else a timeout ends the task: in the clean-up of one that is cancelled, and for good in one
        whose task group has failed, since a group leaves its task marked as being cancelled.
        """
        expires, task = self.expired(), asyncio.current_task()
        await _exit(self, kind, error, trace)
        ours = task is not None and task.cancelling() <= self._before  # type: ignore[attr-defined]  # see above
        if expires and kind is asyncio.CancelledError and ours:
            raise TimeoutError from error

    asyncio.Timeout.__aenter__ = _entered  # type: ignore[method-assign]
    asyncio.Timeout.__aexit__ = _exited  # type: ignore[assignment]
