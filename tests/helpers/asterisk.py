"""Real Asterisk for the tests: on loopback, free ports, all files in a temporary folder.

It comes from ``scripts/fetch-asterisk``, or from a folder of ``roots``, and runs with the files of
``config/asterisk``, in which only ports, the secret and folders are other ones.
"""

import socket
import subprocess
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from sfu_wrapper.adapters.asterisk.ami import AmiSettings
from tests.helpers import roots
from tests.helpers.processes import free_port

TOP = Path(__file__).parents[2]
FETCHED = TOP / ".asterisk"
NOT_FETCHED = "Asterisk is not there: scripts/fetch-asterisk could not fetch it"
USER, SECRET = "sfu-wrapper", "s3cret-of-the-test"
START_S = 30.0

_TEST_CALLERS = """
[tone]
exten => _[0-9].,1,Answer()
 same => n,Playtones(${EXTEN}/600000)
 same => n,Wait(600)
"""
_FOLDERS = {
    "astetcdir": "etc",
    "astmoddir": "",
    "astvarlibdir": "var",
    "astdbdir": "var",
    "astkeydir": "var",
    "astdatadir": "",
    "astagidir": "var",
    "astspooldir": "spool",
    "astrundir": "run",
    "astlogdir": "log",
}


class AsteriskServer:
    """Asterisk process; ``sip_port`` is that of the trunk, ``recordings`` its folder for mixes."""

    def __init__(self, folder: Path) -> None:
        self._root = roots.root_of(roots.ASTERISK) or FETCHED
        if not self._root.is_dir():
            pytest.skip(NOT_FETCHED)
        self._folder = folder
        self.ami_port, self.sip_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.recordings = folder / "recordings"
        self._process: subprocess.Popen[bytes] | None = None
        for name in {*_FOLDERS.values(), "recordings"} - {""}:
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()

    @property
    def settings(self) -> AmiSettings:
        """Address and login."""
        return AmiSettings("127.0.0.1", self.ami_port, USER, SECRET, ping_s=1.0)

    def start(self) -> None:
        """Start the process; return once it accepts calls."""
        self._spawn()
        deadline = time.monotonic() + START_S
        while not _says(self.ami_port, b"Asterisk Call Manager"):
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.cli("core waitfullybooted")  # the dialplan comes later than the manager

    def cli(self, command: str) -> str:
        """Run a console command and return its output."""
        done = subprocess.run(
            self._command("-rx", command), capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def _command(self, *arguments: str) -> list[str | Path]:
        # bullseye has them in /lib, later releases in /usr/lib, of which /lib is a link.
        places = [self._root / place for place in ("lib", "usr/lib")]
        loader = next(each for at in places for each in at.glob("*-linux-gnu*/ld-linux-*.so.*"))
        libraries = [str(at / each) for at in places for each in (loader.parent.name, ".")]
        program, config = self._root / "usr/sbin/asterisk", self._folder / "etc" / "asterisk.conf"
        start: list[str | Path] = [loader, "--library-path", ":".join(libraries), program]
        return [*start, "-C", config, *arguments]

    def _spawn(self) -> None:
        with (self._folder / "log" / "console").open("ab") as console:
            self._process = subprocess.Popen(
                self._command("-f"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            self._process = None

    def log(self) -> str:
        """Return the output of the process."""
        return (self._folder / "log" / "console").read_text("utf-8", "replace")

    def _configure(self) -> None:
        etc = self._folder / "etc"
        changes = {
            "manager.conf": [("port = 5038", f"port = {self.ami_port}"), ("change-me", SECRET)],
            "pjsip.conf": [("127.0.0.1:5060", f"127.0.0.1:{self.sip_port}")],
        }
        for example in (TOP / "config" / "asterisk").glob("*.conf"):
            text = example.read_text("utf-8")
            for before, after in changes.get(example.name, ()):
                assert before in text
                text = text.replace(before, after)
            (etc / example.name).write_text(text, "utf-8")
        with (etc / "extensions.conf").open("a", encoding="utf-8") as extensions:
            extensions.write(_TEST_CALLERS)
        _allow_originate(etc / "manager.conf")
        (modules,) = self._root.glob("usr/lib/**/asterisk/modules")
        inside = {"astmoddir": modules, "astdatadir": self._root / "usr/share/asterisk"}
        lines = [
            f"{key} => {inside.get(key, self._folder / name)}" for key, name in _FOLDERS.items()
        ]
        text = "\n".join(("[directories]", *lines, ""))
        (etc / "asterisk.conf").write_text(text, "utf-8")


def _allow_originate(manager: Path) -> None:
    """Give the manager user the right to originate callers for the test."""
    text = manager.read_text("utf-8")
    before = "write = system,call,reporting"
    assert before in text
    manager.write_text(text.replace(before, f"{before},originate"), "utf-8")


def _says(port: int, greeting: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as peer:
            return peer.recv(100).startswith(greeting)
    except OSError:
        return False


def seconds_of(mix: Path) -> float:
    with wave.open(str(mix)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        frames: int = file.getnframes()
        return frames / 8000


def loudness_of(mix: Path, hz: float) -> float:
    """Return the level of one tone in a mix."""
    with wave.open(str(mix)) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    turns = np.exp(-2j * np.pi * hz * np.arange(len(audio)) / 8000)
    strength: float = 2 * abs((turns * audio).mean())
    return strength
