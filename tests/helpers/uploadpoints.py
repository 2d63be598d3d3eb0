"""A worker that moves what it finishes into a real S3 server, and dies on the way."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import obstore
from obstore.store import S3Store

from tests.helpers.deathpoints import Installation, decoded, publish, record
from tests.helpers.s3 import SECRETS, S3Server


class UploadingInstallation(Installation):
    """``Installation`` whose results are the objects of a bucket.

    server: where the bucket is, which has the name of the folder.
    endpoint: address under which the worker reaches it.
    """

    def __init__(self, folder: Path, server: S3Server, endpoint: str | None = None) -> None:
        server.make_bucket(folder.name)
        url = f"s3://{folder.name}"
        super().__init__(
            folder, STORAGE__URL=url, STORAGE__ENDPOINT_URL=endpoint or server.endpoint
        )
        self._env |= {name.upper(): value for name, value in SECRETS.items()}
        config: Any = SECRETS | {"aws_endpoint_url": server.endpoint}
        self._bucket = S3Store.from_url(url, config=config, client_options={"allow_http": True})

    @property
    def env(self) -> dict[str, str]:
        """Variables of the worker."""
        return self._env

    def keys(self) -> list[str]:
        """Names of all objects."""
        return [found["path"] for page in obstore.list(self._bucket) for found in page]

    async def reset(self) -> None:
        """See ``Installation``; the bucket is empty too."""
        obstore.delete(self._bucket, self.keys())
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
            for key in self.keys():
                copy = Path(folder) / Path(key).name
                copy.write_bytes(obstore.get(self._bucket, key).bytes())
                found[key] = decoded(copy)
        return found

    def left_over(self) -> list[str]:
        """See ``Installation``; copies of what was uploaded are left over too."""
        return super().left_over() + list(super().delivered())
