"""The controller under attack: its process, tokens, memory, processor time, and what it queued."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sfu_wrapper.config.catalogue import PREFIX, known_keys
from sfu_wrapper.wire.claims import Claims, encode
from tests.helpers.live import DOMAIN, SECRET
from tests.helpers.processes import Command, environment, free_port, start

TOP = Path(__file__).resolve().parents[2]
HOUR_S = 3600
NO_PROXY = "192.0.2.1"  # loopback is trusted by default; here its addresses are those of clients
_TICKS_A_S = os.sysconf("SC_CLK_TCK")

Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Where:
    """Input of probers and strikers, JSON on standard input since it holds a key.

    Attributes:
        websocket_port, http_port: on 127.0.0.1.
        algorithm, key: what tokens are signed with; a private key as PEM.
        seconds: length of the strike.
    """

    websocket_port: int
    http_port: int
    algorithm: str
    key: str
    seconds: float

    @property
    def url(self) -> str:
        """Address of the WebSocket server."""
        return f"ws://127.0.0.1:{self.websocket_port}"

    def token(self, user: str, *roles: str, domain: str = DOMAIN, ttl_s: int = HOUR_S) -> str:
        """Return a token that the controller accepts."""
        claims = Claims(
            sub=user, domain=domain, roles=list(roles or ("user",)), exp=int(time.time()) + ttl_s
        )
        return encode(claims, self.key, self.algorithm)

    def line(self) -> bytes:
        """As one line for a process of ours."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(slots=True)
class Controller:
    """A running controller."""

    folder: Path
    where: Where
    command: Command

    def resident_mib(self) -> float:
        """Return the memory that it holds."""
        with suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
            return pages * 4096 / 2**20
        return 0.0

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        with suppress(OSError):
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS_A_S
        return 0.0

    def starved_s(self) -> float:
        """Return how long its event loop was ready to run, and the machine had no time for it."""
        with suppress(OSError, IndexError):
            text = Path(f"/proc/{self._pid}/task/{self._pid}/schedstat").read_text()
            return int(text.split()[1]) / 1e9
        return 0.0

    def logged(self) -> set[tuple[str, str]]:
        """Return (level, action) of what it has logged."""
        return {(line["level"], line["message"]) for line in self.command.lines}

    @property
    def _pid(self) -> int:
        return self.command.process.pid


@asynccontextmanager
async def serving(
    checkout: Path, folder: Path, settings: Settings, where: Where
) -> AsyncIterator[Controller]:
    """A controller of ``checkout``, with all its files in ``folder``, as long as the context lasts.

    Settings that the checkout has no key for are left out.
    """
    known = _keys(checkout)
    settings = {"WEBSOCKET__TRUSTED_PROXIES": NO_PROXY, **settings}
    wanted = {name: value for name, value in settings.items() if f"{PREFIX}{name}" in known}
    wanted |= _listening(where) | _signed(where, folder)
    env = environment(folder, **wanted)
    if where.algorithm != "HS256":
        del env[f"{PREFIX}AUTH__SECRET"]
    env["PYTHONPATH"] = str(checkout)
    command = await start(env, "serve", python=_python(checkout), folder=checkout)
    try:
        await command.logged("ready")
        yield Controller(folder, where, command)
    finally:
        await command.kill()


def somewhere(algorithm: Literal["HS256", "RS256"], seconds: float) -> Where:
    """Return ports that are free and a key of its own."""
    key = SECRET
    if algorithm == "RS256":
        private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        key = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    return Where(free_port(), free_port(), algorithm, key, seconds)


def announced(folder: Path) -> set[tuple[str, int]]:
    """Return room uuid and segment of each recordingInfo in the embedded queue."""
    file = folder / "state" / "queue.db"
    if not file.exists():
        return set()
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        # The file is there before its tables are.
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'messages'").fetchone():
            return set()
        rows = database.execute("SELECT message_id FROM messages WHERE queue = 'processing_queue'")
        ids = [str(message_id).rpartition(":") for (message_id,) in rows]
    return {(uuid, int(segment)) for uuid, _, segment in ids}


async def ended(controller: Controller) -> int:
    """SIGTERM; return the exit code."""
    async with asyncio.timeout(60):
        return await controller.command.terminate()


def _listening(where: Where) -> dict[str, str]:
    return {
        "WEBSOCKET__PORT": str(where.websocket_port),
        "HTTP__PORT": str(where.http_port),
        "MEDIA__SFU": "none",
        "MEDIA__MIXER": "none",
        "ROOMS__RECORD": "all",
        "RECORD_RECORDING_AT_START": "false",
        "LOG__LEVEL": "info",
    }


def _signed(where: Where, folder: Path) -> dict[str, str]:
    """Return how its tokens are to be checked."""
    if where.algorithm == "HS256":
        return {"AUTH__SECRET": where.key}
    private = serialization.load_pem_private_key(where.key.encode(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    file = folder / "tokens.pem"
    file.write_bytes(public)
    return {"AUTH__PUBLIC_KEY_FILE": str(file)}


def _python(checkout: Path) -> str:
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _keys(checkout: Path) -> frozenset[str]:
    """Return the variables that a checkout knows."""
    if checkout == TOP:
        return frozenset(key.variable for key in known_keys().values())
    program = (
        "from sfu_wrapper.config.catalogue import known_keys\n"
        "print(*(key.variable for key in known_keys().values()))"
    )
    told = subprocess.run(
        [_python(checkout), "-c", program],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return frozenset(told.stdout.split())
