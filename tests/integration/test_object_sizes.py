"""Files of 200 MB into a real S3 server: whole, in parts, and in memory that does not grow."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from sfu_wrapper.ports.storage import Measured
from tests.helpers.s3 import SECRETS, S3Server, s3_server

MEBI = 1 << 20
MOST_GROWTH = 24 * MEBI  # between files of 40 and of 200 MB; parts under way are 32 MiB in both

# VmHWM, since the maximum of getrusage begins with that of the process which has forked it.
UPLOAD = """
import asyncio, json, sys
from pathlib import Path
from sfu_wrapper.adapters.storage.objects import open_store
from sfu_wrapper.ports.storage import Measured

endpoint, secrets, file, size, sha256 = sys.argv[1:]
store = open_store("s3://recordings/of", endpoint, json.loads(secrets))
asyncio.run(store.upload(Path(file), Path(file).name, Measured(int(size), sha256)))
[peak] = [line for line in Path("/proc/self/status").open() if line.startswith("VmHWM")]
print(1024 * int(peak.split()[1]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


def written(file: Path, mebi: int) -> Measured:
    digest = hashlib.sha256()
    with file.open("wb") as opened:
        for _ in range(mebi):
            chunk = os.urandom(MEBI)
            digest.update(chunk)
            opened.write(chunk)
    return Measured(mebi * MEBI, digest.hexdigest())


async def uploaded(server: S3Server, file: Path, content: Measured) -> int:
    """Upload in a process of its own; its peak of memory in bytes."""
    arguments = (server.endpoint, json.dumps(SECRETS), str(file))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        UPLOAD,
        *arguments,
        str(content.size_bytes),
        content.sha256,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return int(output)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_file_of_200_mb_arrives_whole_in_memory_that_does_not_grow(
    server: S3Server, tmp_path: Path
) -> None:
    small, large = tmp_path / "small.webm", tmp_path / "large.webm"
    less = await uploaded(server, small, written(small, 40))
    content = written(large, 200)

    most = await uploaded(server, large, content)

    assert most - less < MOST_GROWTH
    store = server.store("s3://recordings/of")
    assert await store.size("large.webm") == content.size_bytes
    address = await store.address("large.webm", 60)
    assert await asyncio.to_thread(digest_at, address) == content.sha256
    with large.open("rb") as opened:
        opened.seek(150 * MEBI)
        assert await asyncio.to_thread(part_at, address, 150 * MEBI, 1000) == opened.read(1000)
    await store.remove(["large.webm", "small.webm"])
    assert b"<Key>" not in await asyncio.to_thread(server.request, "GET", "/recordings")


def digest_at(address: str) -> str:
    """The SHA-256 of what anyone reads at that address."""
    digest = hashlib.sha256()
    with urlopen(address, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "video/webm"
        while chunk := answer.read(MEBI):
            digest.update(chunk)
    return digest.hexdigest()


def part_at(address: str, start: int, length: int) -> bytes:
    """So many bytes from there, as a player that seeks reads them."""
    headers = {"Range": f"bytes={start}-{start + length - 1}"}
    with urlopen(Request(address, headers=headers), timeout=60) as answer:
        assert answer.status == 206
        content: bytes = answer.read()
    return content
