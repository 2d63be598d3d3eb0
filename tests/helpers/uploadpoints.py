"""Workers that move files into a real S3 server, or delete them there, and die on the way."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Any

import obstore
from obstore.store import S3Store

from tests.helpers.deathpoints import Installation, decoded, publish, record
from tests.helpers.deletionpoints import Deletion
from tests.helpers.processes import start
from tests.helpers.s3 import SECRETS, S3Server
from tests.helpers.tcp_proxy import TcpProxy


class Bucket:
    """A bucket of its own.

    server: where it is made.
    name: its name.
    """

    def __init__(self, server: S3Server, name: str) -> None:
        server.make_bucket(name)
        self.url = f"s3://{name}"
        config: Any = SECRETS | {"aws_endpoint_url": server.endpoint}
        self._store = S3Store.from_url(self.url, config=config, client_options={"allow_http": True})

    def settings(self, endpoint: str) -> dict[str, str]:
        """Settings of a worker that reaches it there."""
        return {"STORAGE__URL": self.url, "STORAGE__ENDPOINT_URL": endpoint}

    def names(self) -> list[str]:
        """Names of all objects."""
        return [found["path"] for page in obstore.list(self._store) for found in page]

    def content(self) -> dict[str, bytes]:
        """All objects."""
        return {key: bytes(obstore.get(self._store, key).bytes()) for key in self.names()}

    def fill(self, content: Mapping[str, bytes]) -> None:
        """Make these the only objects."""
        obstore.delete(self._store, self.names())
        for key, found in content.items():
            obstore.put(self._store, key, found)


class UploadingInstallation(Installation):
    """``Installation`` whose results are the objects of a bucket with the name of the folder.

    server: where the bucket is.
    endpoint: address under which the worker reaches it.
    """

    def __init__(self, folder: Path, server: S3Server, endpoint: str) -> None:
        self.bucket = Bucket(server, folder.name)
        super().__init__(folder, None, **self.bucket.settings(endpoint))
        self.env |= {name.upper(): value for name, value in SECRETS.items()}

    async def reset(self) -> None:
        """See ``Installation``; the bucket is empty too."""
        self.bucket.fill({})
        await super().reset()

    async def publish_again(self) -> None:
        """Put another segment with the same media into the queue."""
        event = record(self.folder / "raw", self.folder / "raw-audio")
        event["recordingInfo"]["segment"] = 2
        await publish(self.folder, event)

    def waiting(self) -> list[Path]:
        """Manifests of segments that are not uploaded yet."""
        return list((self.out / ".sfu-wrapper" / "uploading").glob("*.manifest"))

    def delivered(self) -> dict[str, str]:
        """What the objects show and sound like, by their names."""
        found = {}
        with TemporaryDirectory() as folder:
            for key, content in self.bucket.content().items():
                copy = Path(folder) / Path(key).name
                copy.write_bytes(content)
                found[key] = decoded(copy)
        return found

    def left_over(self) -> list[str]:
        """See ``Installation``; copies of what was uploaded are left over too."""
        return super().left_over() + list(super().delivered())


class ObjectDeletion(Deletion):
    """``Deletion`` of a recording whose files are objects of a bucket.

    server: where the bucket is.
    endpoint: address under which the worker reaches it.
    """

    def __init__(self, folder: Path, server: S3Server, endpoint: str) -> None:
        self.bucket = Bucket(server, folder.name)
        super().__init__(folder, **self.bucket.settings(endpoint))
        self.env |= {name.upper(): value for name, value in SECRETS.items()}
        self._objects: dict[str, bytes] = {}

    async def prepare(self) -> None:
        """See ``Deletion``."""
        await super().prepare()
        self._objects = self.bucket.content()

    async def reset(self) -> None:
        """See ``Deletion``; the objects are there again too."""
        await super().reset()
        self.bucket.fill(self._objects)

    def files(self) -> set[str]:
        """See ``Deletion``; with the objects."""
        return super().files() | {f"{self.bucket.url}/{key}" for key in self.bucket.names()}


async def pieces_until(
    number: int, there: UploadingInstallation | ObjectDeletion, proxy: TcpProxy
) -> int:
    """Run a worker from the beginning, and kill it at a piece of a request or an answer.

    Args:
        number: of the piece, from 1; 0: it lives.
        there: its installation.
        proxy: in front of its store.

    Returns:
        The number of pieces that came.
    """
    await there.reset()
    worker = await start(there.env, "worker", "--once", module="tests.helpers.steady")
    seen = 0

    def on_piece() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            with suppress(ProcessLookupError):
                worker.process.kill()

    proxy.on_piece = on_piece
    assert await worker.ended() == (0 if number == 0 else -SIGKILL)
    proxy.on_piece = None
    return seen
