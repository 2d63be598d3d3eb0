#!/usr/bin/env bash
# obstore 0.12.1 (PyPI): the time of a request includes the time that its content takes.
# Guess: ``timeout`` bounds the wait for a server that does not answer; content that flows is let through.
# Seen: content of 1 MiB over a link of 320 kB/s, which takes some 3 s, is cut after the timeout of 1 s, sent again from
# its beginning, and cut again, until the repeats are used up. The default is 30 s for a part of 5 MiB or a whole file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import obstore
from obstore.store import S3Store

CONTENT = bytes(1 << 20)
received = []


class Slow(BaseHTTPRequestHandler):
    """A bucket behind a slow link."""

    def do_PUT(self):
        received.append(0)
        mine, length = len(received) - 1, int(self.headers["content-length"])
        try:
            while received[mine] < length:
                piece = self.rfile.read(min(16_384, length - received[mine]))
                if not piece:
                    return
                received[mine] += len(piece)
                time.sleep(0.05)
            self.send_response(200)
            self.send_header("ETag", '"etag"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        except ConnectionError:
            return

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()


def upload(timeout):
    received.clear()
    store = S3Store(
        "bucket",
        endpoint=f"http://127.0.0.1:{server.server_port}",
        region="us-east-1",
        access_key_id="a",
        secret_access_key="b",
        client_options={"allow_http": True, "timeout": timeout},
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=60)},
    )
    try:
        obstore.put(store, "object", CONTENT, use_multipart=False)
    except obstore.exceptions.BaseError as error:
        return str(error).splitlines()[0]
    return "stored"


patient, hasty = upload("60s"), upload("1s")
print(f"obstore {version('obstore')}: timeout 60 s: {patient}; 1 s: {len(received)} attempts, {hasty}")
assert patient == "stored", "changed"
assert "after 2 retries" in hasty, "changed"
assert len(received) == 3, "changed"
PYTHON
