"""Settings of the planes on Janus: address, secrets, folders and properties of rooms."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.media_plane import CaptureRef

WORK_WITHIN_S: Final = 3.0
_AT_ONCE: Final = 32  # file operations

Params = ParamSpec("Params")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Folder:
    """Folder for the recordings of one medium.

    Attributes:
        ours: Path as the controller sees it.
        janus: Path as Janus sees it.
    """

    ours: Path
    janus: Path
    _threads: BoundedThreadPool = field(
        default_factory=lambda: BoundedThreadPool(_AT_ONCE), init=False, repr=False, compare=False
    )

    async def work(
        self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Run a file operation in a thread, because a network folder may hang.

        Raises:
            OSError: The operation failed; TimeoutError, a subclass, if it hung.
        """
        return await self._threads.run(WORK_WITHIN_S, work, *args, **kwargs)

    def of(self, capture: CaptureRef) -> Path:
        """Return the folder of one capture as we see it; no two captures share one."""
        return self.ours / capture.room / str(capture.segment)

    def at_janus(self, capture: CaptureRef) -> str:
        """Return the folder of one capture as Janus sees it."""
        return str(self.janus / capture.room / str(capture.segment))


@dataclass(frozen=True, slots=True)
class JanusSettings:
    """Address of Janus and properties of our rooms there.

    Attributes:
        address: Address and API secret.
        folder: Folder for the recordings.
        room_secret: Key from which the secret of each room is derived.
        admin_key: Key for creating and listing rooms; None if Janus requires none.
        video_codecs: Codecs of new VideoRooms, in order of preference.
        publishers: Limit of publishers in a VideoRoom.
        bitrate: Limit per publisher, bits a second; 0 for none.
        sampling_rate: Rate of the mix, Hz.
        delay_ms: Time by which audio lags behind video.
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
        """Return the secret of a room; it is the same after every restart."""
        key, text = self.room_secret.encode(), f"{plugin}:{room}".encode()
        return hmac.digest(key, text, "sha256").hex()

    @property
    def admin_fields(self) -> dict[str, object]:
        """Fields that authorize a client to create and list rooms."""
        return {} if self.admin_key is None else {"admin_key": self.admin_key}
