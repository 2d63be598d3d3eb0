"""A real S3 server: moto's, in a process of its own on loopback."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sfu_wrapper.adapters.storage.objects import ObstoreObjects, open_store
from tests.helpers.processes import READY_S, free_port

SECRETS = {
    "aws_access_key_id": "tests",
    "aws_secret_access_key": "tests-secret",
    "aws_region": "us-east-1",
}


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint: its address.
        process: the process.
    """

    endpoint: str
    process: "subprocess.Popen[bytes]"

    def make_bucket(self, name: str) -> None:
        self.request("PUT", f"/{name}")

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def store(self, url: str, endpoint: str | None = None) -> ObstoreObjects:
        return open_store(url, endpoint or self.endpoint, SECRETS)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server, and end it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true"},
    )
    server = S3Server(f"http://127.0.0.1:{port}", process)
    try:
        _wait_for(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(server: S3Server) -> None:
    give_up_s = time.monotonic() + READY_S
    while True:
        assert server.process.poll() is None, "the S3 server has ended"
        try:
            server.request("GET", "/moto-api/")
        except OSError:
            assert time.monotonic() < give_up_s, "the S3 server does not answer"
            time.sleep(0.05)
        else:
            return
