"""Files of recordings in an object store: addresses, content, and whether they exist."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.segment import FinishedFile
from sfu_wrapper.ports.objects import ObjectStore
from sfu_wrapper.ports.recording_files import OpenedFile

ADDRESS_S: Final = 60  # for which the address of an object can be used that a token was shown for


class StoredFiles:
    """Reader of the files in the configured object store.

    Args:
        objects: the store; None: none is configured.
    """

    def __init__(self, objects: ObjectStore | None) -> None:
        self._objects = objects

    async def address(
        self, file: FinishedFile, seconds: int = ADDRESS_S, *, head: bool = False
    ) -> str:
        """Return an address of a file that works for some seconds.

        Args:
            file: a file with an ``url``.
            seconds: from 1 on.
            head: return one for ``HEAD``, which a store refuses with an address for ``GET``.

        Raises:
            Refused: FILE_LOST: it is missing or has another length; NOT_MOUNTED: it is in another
                store.
            Unavailable: the store does not answer.
        """
        objects, name = await self._found(file)
        return await objects.address(name, seconds, head=head)

    async def open(self, file: FinishedFile) -> OpenedFile:
        """Open a file for reading. Raises as ``address``."""
        objects, name = await self._found(file)
        return _Object(objects, name, file.size_bytes)

    async def lost(self, files: Sequence[FinishedFile]) -> tuple[str, ...]:
        """Return the addresses of those files that are missing or have another length.

        Raises:
            Refused: NOT_MOUNTED: a file is in another store.
            Unavailable: the store does not answer.
        """
        missing = []
        for file in files:
            objects, name = self._place(file)
            if await objects.size(name) != file.size_bytes:
                missing.append(file.url or "")
        return tuple(missing)

    async def _found(self, file: FinishedFile) -> tuple[ObjectStore, str]:
        """Return the store and the name of an object that exists."""
        objects, name = self._place(file)
        size = await objects.size(name)
        if size is None:
            raise Refused(Code.FILE_LOST, "file is missing in its object store")
        if size != file.size_bytes:
            detail = f"file has {size} bytes, not the {file.size_bytes} recorded"
            raise Refused(Code.FILE_LOST, detail)
        return objects, name

    def _place(self, file: FinishedFile) -> tuple[ObjectStore, str]:
        if self._objects is None or not (file.url or "").startswith(f"{self._objects.url}/"):
            detail = "file is in another object store than storage.url of this controller names"
            raise Refused(Code.NOT_MOUNTED, detail)
        return self._objects, (file.url or "").removeprefix(f"{self._objects.url}/")


@dataclass(slots=True)
class _Object:
    """``OpenedFile`` on an object, each part of which is a request of its own."""

    objects: ObjectStore
    name: str
    size_bytes: int

    async def read(self, offset: int, length: int) -> bytes:
        """See the port."""
        length = min(length, self.size_bytes - offset)
        return await self.objects.read(self.name, offset, length) if length > 0 else b""

    def close(self) -> None:
        """See the port."""
