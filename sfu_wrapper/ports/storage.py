"""The folders of the recording service: raw files in, finished files out, never half of one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders of one attempt, for our own user alone.

    plain: for what is not encrypted. staging: on the file system of the destination, for what is
    about to be delivered. lasting: of the job, for what outlives the attempt.
    """

    plain: Path
    staging: Path
    lasting: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """What stands in a file now."""

    size_bytes: int
    sha256: str


class RecordingStorage(Protocol):
    """Every name is resolved below its folder only: no links, no devices, no way out of it.

    Raises, all of them:
        JobFailed: ``MISSING_FILE`` and ``IO_ERROR`` may pass, ``UNSAFE_NAME`` does not.
    """

    async def raw_video(self, filename: str) -> Path:
        """The raw video file of that name, which stands there and is a plain file."""
        ...

    async def raw_audio(self, filename: str) -> Path:
        """The same for the mix."""
        ...

    async def raw_bytes(self, videos: Sequence[str], sounds: Sequence[str]) -> int:
        """How long these raw files are together; what is not there counts nothing."""
        ...

    async def free_bytes(self) -> int:
        """What can still be written: the least of all folders that are written to."""
        ...

    async def workplace(self, job: str) -> Workspace:
        """New folders for one attempt at that job; they stay until ``clear``."""
        ...

    async def leftovers(self, job: str) -> tuple[Path, ...]:
        """The files in all workplaces of that job."""
        ...

    async def uncleared(self, name: str) -> tuple[bytes, ...]:
        """What stands under that name in the lasting folder of each finished job that has one."""
        ...

    async def clear(self, job: str, *, lasting: bool = True) -> None:
        """Remove all workplaces of that job; none is fine. lasting: and what outlives them."""
        ...

    async def write(self, stage: str, file: Path, content: bytes) -> None:
        """Write a small file of ours into a workplace, whole and durably, or not at all.

        stage: of which it is a part.
        """
        ...

    async def measure(self, file: Path) -> Measured:
        """Read it once from end to end."""
        ...

    async def claim(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        """Take the first choice of which every name is free, or this job's already.

        Names are relative to the destination, without a link on the way. A claim is durable.
        """
        ...

    def final(self, name: str) -> Path:
        """Where a claimed name stands or will stand; absolute."""
        ...

    async def deliver(self, job: str, staged: Sequence[tuple[Path, str]], manifest: bytes) -> None:
        """Move files from the staging folder to claimed names; then the job is finished, durably.

        Each file appears whole or not at all, and none unless there was space for the manifest.
        """
        ...

    async def manifest(self, job: str) -> bytes | None:
        """What ``deliver`` stored for that job, once all was done."""
        ...

    def manifest_file(self, job: str) -> Path:
        """Where that stands: without it the job is done anew."""
        ...

    async def remove(self, files: Sequence[Path]) -> None:
        """Delete raw files; what is not there any more is fine."""
        ...

    async def prune(self, videos: Sequence[str], sounds: Sequence[str]) -> None:
        """Delete the folders that these raw files stood in, as far as they are empty now.

        The folders of all recordings stay, and so does whatever holds anything at all.
        """
        ...
