"""An identity provider: keys that sign tokens, and the key set that it publishes over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
JSON = "application/json"


def jwk(key: PrivateKey, kid: str | None, **changed: object) -> dict[str, Any]:
    """Its public half as it stands in a key set; ``changed`` to None leaves a field out."""
    match key:
        case rsa.RSAPrivateKey():
            fields = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            fields = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            fields = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    fields.pop("key_ops", None)
    given = fields | {"kid": kid, "use": "sig"} | changed
    return {name: value for name, value in given.items() if value is not None}


def key_set(**keys: PrivateKey) -> bytes:
    """A set of these keys, each under its name."""
    return json.dumps({"keys": [jwk(key, kid) for kid, key in keys.items()]}).encode()


def signed(
    key: PrivateKey, algorithm: str, kid: str | None, *, exp: float | None = None, **header: object
) -> str:
    """A token of alice."""
    claims = {"sub": "alice", "domain": "example", "roles": ["user"]}
    until = time.time() + 600 if exp is None else exp
    headers = ({} if kid is None else {"kid": kid}) | header
    return jwt.encode(claims | {"exp": until}, key, algorithm, headers)


@dataclass
class Provider:
    """One that is asked over HTTP.

    ahead_s: its clock before ours; date: what it says instead of its time.
    body: what it answers; status: how; hang: it does not answer while this is not set.
    """

    url: str
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    dribble: bool = False
    ahead_s: float = 0
    date: str | None = None
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def provider(body: bytes = b"") -> Iterator[Provider]:
    """One on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            told.asked += 1
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not told.dribble:
                self.wfile.write(told.body)
                return
            while not told.over.wait(0.02):  # a byte at a time, for ever
                self.wfile.write(b" ")
                self.wfile.flush()

        def date_time_string(self, timestamp: float | None = None) -> str:
            known = super().date_time_string((timestamp or time.time()) + told.ahead_s)
            return known if told.date is None else told.date

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told = Provider(f"http://127.0.0.1:{server.server_port}/keys", body)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield told
        finally:
            told.over.set()
            server.shutdown()
            thread.join()
