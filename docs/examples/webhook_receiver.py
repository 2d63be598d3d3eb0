"""Receive webhooks: verify, drop repeats, answer at once, work afterwards.

Run as ``WEBHOOK_SECRET=whsec_… python webhook_receiver.py [PORT]``. It needs the standard library
only, and listens on loopback; put a server with TLS in front of it. Prints a line for each event.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

TOLERANCE_S = 300  # older requests may be repeats by an attacker
MAX_BYTES = 1024 * 1024
REMEMBERED = 10_000  # ids; a real receiver stores them together with what it does


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Return True if the body was signed with the secret, and not long ago."""
    id_, sent_s = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_s.isdigit() or abs(now_s - int(sent_s)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.digest(key, f"{id_}.{sent_s}.".encode() + body, hashlib.sha256)
    wanted = "v1," + base64.b64encode(made).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(wanted, each) for each in given)


class Receiver(BaseHTTPRequestHandler):
    """Handler of the requests."""

    secret = os.environ.get("WEBHOOK_SECRET", "")
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()

    def do_POST(self) -> None:
        """Verify one event and print it."""
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= MAX_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        if not is_genuine(self.secret, dict(self.headers), body, time.time()):
            self.send_error(401)
            return
        id_ = self.headers["webhook-id"]
        if id_ not in self.seen:  # an attempt whose answer was lost is repeated
            self.seen[id_] = None
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            event = json.loads(body)
            print(event["type"], json.dumps(event["data"]), flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    server = HTTPServer(("127.0.0.1", port), Receiver)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
