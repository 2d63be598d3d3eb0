"""Object storage in memory, for tests and for its contract."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.storage import Measured


class MemoryObjectStore:
    """``ObjectStore`` in a dictionary.

    Attributes:
        url: see the port.
        objects: content by name.
        uploads: names in the order in which they were written.
        outage: reason for which every call fails; empty: the store answers.
    """

    def __init__(self, url: str = "memory://recordings") -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.outage = ""

    async def upload(self, file: Path, name: str, content: Measured) -> None:
        """See the port."""
        self._require_answer()
        if _measured(self.objects.get(name)) == content:
            return
        found = file.read_bytes()  # noqa: ASYNC240  # of tests
        if len(found) != content.size_bytes:
            raise FileNotFoundError(f"{file} has {len(found)} bytes, not {content.size_bytes}")
        if _measured(found) != content:
            raise Unavailable(f"{name}: the store has other content than {file}")
        self.objects[name] = found
        self.uploads.append(name)

    async def size(self, name: str) -> int | None:
        """See the port."""
        self._require_answer()
        return len(self.objects[name]) if name in self.objects else None

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See the port."""
        self._require_answer()
        if name not in self.objects:
            raise Unavailable(f"{name} is not there")
        return self.objects[name][offset : offset + length]

    async def address(self, name: str, seconds: int, *, head: bool = False) -> str:
        """See the port."""
        self._require_answer()
        return f"{self.url}/{name}?seconds={seconds}&method={'HEAD' if head else 'GET'}"

    async def remove(self, names: Sequence[str]) -> None:
        """See the port."""
        self._require_answer()
        for name in names:
            self.objects.pop(name, None)

    async def check(self) -> None:
        """See the port."""
        self._require_answer()

    def _require_answer(self) -> None:
        if self.outage:
            raise Unavailable(self.outage)


def _measured(content: bytes | None) -> Measured | None:
    if content is None:
        return None
    return Measured(len(content), hashlib.sha256(content).hexdigest())
