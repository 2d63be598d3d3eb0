"""Object storage of finished files: upload, presigned addresses, removal.

Objects have the names of the finished files below the destination: ``/`` separates folders. An
object that was uploaded has the length and the content of its file, or the upload has failed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sfu_wrapper.ports.storage import Measured


class ObjectStore(Protocol):
    """A bucket, or a folder of one.

    Raises, in all methods:
        Unavailable: the store does not answer, or refuses; the detail says why. Nothing is lost:
            every method may be repeated.

    Attributes:
        url: address of the bucket with its folder, such as ``s3://bucket/recordings``.
    """

    url: str

    async def upload(self, file: Path, name: str, content: Measured) -> None:
        """Upload a file, and check that the store has it whole; an object of that name is replaced.

        Does nothing where the store has that content already.

        Args:
            file: a file that is durable, and stays as it is.
            name: name of the object.
            content: length and digest of the file.

        Raises:
            FileNotFoundError: the file is missing, or has another length.
        """
        ...

    async def size(self, name: str) -> int | None:
        """Return the length of an object in bytes; None: there is none."""
        ...

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of an object, from ``offset`` on; there must be so many."""
        ...

    async def address(self, name: str, seconds: int, *, head: bool = False) -> str:
        """Return an address that anyone may read the object from.

        Args:
            name: name of the object.
            seconds: time for which the address works.
            head: return one for ``HEAD`` instead of ``GET``.
        """
        ...

    async def remove(self, names: Sequence[str]) -> None:
        """Remove objects; missing ones are fine."""
        ...

    async def check(self) -> None:
        """Write, read and remove a small object of our own."""
        ...


def object_url(store_url: str, name: str) -> str:
    """Return the address of an object, as messages and manifests name it."""
    return f"{store_url}/{name}"
