"""Real Janus for the tests, in a private network.

Janus offers no candidate on a loopback interface, so ``private_network`` gives the calling thread a
network namespace with a pair of virtual interfaces. Whatever the thread opens or starts inside it
(servers, clients, Janus, Chromium) is there and nowhere else: ports clash with nothing, and nothing
can leave. It needs root.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus.session import JanusAddress
from tests.helpers import roots
from tests.helpers.processes import environment, freeze

START_S = 40.0
HOST = "10.213.0.2"
"""Address for media inside the private network."""
WS_PORT = 28188
ADMIN_KEY = "key-to-make-rooms"
API_SECRET = "secret-of-the-api"

_CLONE_NEWNET = 0x40000000
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/janus")
_NETWORK = (
    "ip link set lo up",
    "ip link add rtc0 type veth peer name rtc1",
    f"ip addr add {HOST}/32 dev rtc0",
    "ip link set rtc0 up",
    "ip link set rtc1 up",  # or the other one would not be running
    "ip route add default dev rtc0",  # Firefox offers the address of this route
)
_SHIPPED = Path(__file__).parents[2] / "config" / "janus"


@contextmanager
def private_network() -> Iterator[None]:
    """Move this thread and its children into a private network."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET):
            pytest.fail(f"no network namespace: {os.strerror(ctypes.get_errno())}; run it as root")
        try:
            for command in _NETWORK:
                subprocess.run(command.split(), check=True, timeout=30)
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot leave the private network")
    finally:
        os.close(before)


class JanusServer:
    """Janus process; its rooms write to ``recordings`` and ``audio``.

    Args:
        folder: Folder of all its files.
        open_extension: Extension that it adds to the names of open recordings; empty for none.
    """

    def __init__(self, folder: Path, *, open_extension: str = "") -> None:
        self._root = roots.root_of(roots.JANUS)
        if not (self._root or Path("/")).joinpath(_LIBRARY.relative_to("/")).is_dir():
            pytest.fail("Janus is not installed: apt-get install -y janus janus-tools")
        self.folder = folder
        self.url = f"ws://127.0.0.1:{WS_PORT}"
        self.recordings, self.audio = folder / "raw", folder / "audio"
        self._log = folder / "janus.log"
        self._process: subprocess.Popen[bytes] | None = None
        for each in (self.recordings, self.audio):
            each.mkdir(parents=True)
        self._configure(open_extension)

    @property
    def address(self) -> JanusAddress:
        """Address for our client."""
        return JanusAddress(self.url, API_SECRET)

    @property
    def log(self) -> str:
        """Output of the process so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process; return once it accepts connections."""
        config = ("-F", str(self.folder), "-C", str(self.folder / "janus.jcfg"))
        command = roots.inside(self._root, "janus", *config, "-o")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", WS_PORT), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Janus does not start: {self.log[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the process, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Terminate the process, as an operator does."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Suspend the process."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        """Resume the process."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for each in (signal.SIGCONT, number):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, each)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def _configure(self, open_extension: str) -> None:
        options = {"janus": "recordings_tmp_ext", "janus.plugin.audiobridge": "record_tmp_ext"}
        for name, text in _files(self.folder).items():
            option = options.get(name.removesuffix(".jcfg"))
            if option is not None and open_extension:
                line = f'general: {{\n\t{option} = "{open_extension}"\n'
                (self.folder / name).write_text(text.replace("general: {\n", line, 1))
            else:
                (self.folder / name).write_text(text)


def _files(folder: Path) -> dict[str, str]:
    """Write the configuration files that we ship, adapted to the test."""
    here = {
        '"/etc/janus"': f'"{folder}"',
        "/usr/lib/x86_64-linux-gnu/janus": str(_LIBRARY),
        "change-me-api-secret": API_SECRET,
        "change-me-admin-key": ADMIN_KEY,
        "8188": str(WS_PORT),
        "session_timeout": f'interface = "{HOST}"\n\tsession_timeout',
        "ignore_mdns": 'ice_enforce_list = "rtc0"\n\tice_lite = true\n\tignore_mdns',
    }
    files = {}
    for path in _SHIPPED.glob("*.jcfg"):
        text = path.read_text()
        for shipped, ours in here.items():
            text = text.replace(shipped, ours)
        files[path.name] = text
    return files


@contextmanager
def running_janus(folder: Path, *, open_extension: str = "") -> Iterator[JanusServer]:
    """Run a Janus in a private network."""
    with private_network():
        server = JanusServer(folder, open_extension=open_extension)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def environment_at_janus(folder: Path, janus: JanusServer, **settings: str) -> dict[str, str]:
    """Return the variables of an installation whose SFU and mixer are a real Janus."""
    return environment(
        folder,
        ROOMS__RECORD="all",
        MEDIA__SFU="janus",
        MEDIA__MIXER="audiobridge",
        JANUS__URL=janus.url,
        JANUS__API_SECRET=API_SECRET,
        JANUS__ADMIN_KEY=ADMIN_KEY,
        JANUS__ROOM_SECRET="secret-of-these-rooms",
        **settings,
    )
