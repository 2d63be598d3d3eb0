"""What the planes on Janus are told at their making."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.facts import CaptureRef

WORK_WITHIN_S: Final = 3.0
_AT_ONCE: Final = 32  # pieces of work

Params = ParamSpec("Params")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Folder:
    """Where recordings of one medium lie: as we see it, and as Janus does."""

    ours: Path
    janus: Path
    _lane: BoundedThreadPool = field(
        default_factory=lambda: BoundedThreadPool(_AT_ONCE), init=False, repr=False, compare=False
    )

    async def work(
        self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """What is done with files, aside: the folder may be another machine's, and hang.

        Raises:
            OSError: of the work; TimeoutError, which is one, where it hangs.
        """
        return await self._lane.run(WORK_WITHIN_S, work, *args, **kwargs)

    def of(self, capture: CaptureRef) -> Path:
        """The folder of one capture, as we see it: no two captures share one."""
        return self.ours / capture.room / str(capture.segment)

    def at_janus(self, capture: CaptureRef) -> str:
        """The same, as Janus sees it."""
        return str(self.janus / capture.room / str(capture.segment))


@dataclass(frozen=True, slots=True)
class JanusSettings:
    """How Janus is reached and what its rooms are like.

    room_secret: what the secret of each room is derived from.
    """

    address: JanusAddress
    folder: Folder
    room_secret: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)
    video_codecs: tuple[str, ...] = ("vp8", "h264")
    publishers: int = 64
    bitrate: int = 0
    sampling_rate: int = 16_000
    delay_ms: int = 120

    def secret_of(self, plugin: str, room: str) -> str:
        """The secret of a room, the same after every restart."""
        key, text = self.room_secret.encode(), f"{plugin}:{room}".encode()
        return hmac.digest(key, text, "sha256").hex()

    @property
    def to_make_rooms(self) -> dict[str, object]:
        """What Janus wants to see of whoever makes a room."""
        return {} if self.admin_key is None else {"admin_key": self.admin_key}
