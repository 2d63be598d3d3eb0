"""A real RabbitMQ of the tests' own: on loopback, free ports, everything in a temporary folder.

Node and name server (epmd) are children in process groups of their own and are ended by those;
nothing of an installed service is touched.
"""

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.adapters.rabbitmq.subscription import RabbitDelivery
from sfu_wrapper.ports.broker import EXCHANGE, QueueSpec
from tests.helpers import roots
from tests.helpers.processes import free_port, freeze

START_S = 60.0
_runs = count(1)
_MISSING = "rabbitmq-server is not installed: apt-get install -y rabbitmq-server"
_QUIET = "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2 +A 8"


class RabbitServer:
    """One node. url: with the default user, who may come from loopback alone.

    Args:
        folder: for all of its files.
        managed: run the management plugin, at ``management_url``.
    """

    def __init__(self, folder: Path, *, managed: bool = False) -> None:
        self._root = roots.root_of(roots.RABBITMQ)
        top = self._root or Path("/")
        found = sorted((top / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"))
        if not found or not (top / "usr/bin/epmd").exists():
            pytest.fail(_MISSING)
        self._sbin = Path("/") / found[-1].relative_to(top)
        self._folder = folder
        self.port = free_port()
        self._epmd_port, self._dist_port = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        web_port = free_port()
        self.management_url = f"http://127.0.0.1:{web_port}"
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 50MB\n"
            "log.console = false\n"
            + (f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {web_port}\n" * managed)
        )
        (folder / "plugins").write_text("[rabbitmq_management].\n" if managed else "[].\n")

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start, or start again with what was stored; returns once it takes connections."""
        if self._epmd is None:
            port = str(self._epmd_port)
            epmd = roots.inside(self._root, "epmd", "-address", "127.0.0.1", "-port", port)
            self._epmd = _spawn(epmd, self._environment(), self._folder / "epmd.log")
            self._wait(self._epmd_port, b"")
        server = roots.inside(self._root, str(self._sbin / "rabbitmq-server"))
        self._node = _spawn(server, self._environment(), self._folder / "node.log")
        self._wait(self.port, b"AMQP\x00\x00\x09\x01")

    @property
    def is_up(self) -> bool:
        """Whether the node runs; it may be paused."""
        return self._node is not None and self._node.poll() is None

    def kill(self) -> None:
        """End the node at once, as a crash does."""
        if self._node is not None:
            _end(self._node)
            self._node = None

    def pause(self) -> None:
        """Make it hang."""
        assert self._node is not None
        freeze(self._node.pid)

    def resume(self) -> None:
        """Let it go on."""
        assert self._node is not None
        os.killpg(self._node.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End node and name server."""
        self.kill()
        if self._epmd is not None:
            _end(self._epmd)
            self._epmd = None

    @property
    def tools(self) -> dict[str, str]:
        """Variables with which ``rabbitmqctl`` of a shell speaks to this node."""
        environment, tools = self._environment(), self._folder / "tools"
        tools.mkdir(exist_ok=True)
        program = roots.inside(self._root, str(self._sbin / "rabbitmqctl"))
        script = tools / "rabbitmqctl"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
        script.chmod(0o755)
        return environment | {"PATH": f"{tools}:{environment['PATH']}"}

    def ctl(self, *command: str) -> str:
        """Run ``rabbitmqctl``. Takes seconds."""
        argv = roots.inside(self._root, str(self._sbin / "rabbitmqctl"), "-q", *command)
        run = subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, timeout=60, check=True
        )
        return run.stdout

    def _wait(self, port: int, greeting: bytes) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
                    client.sendall(greeting)
                    if not greeting or client.recv(1):
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or (self._node and self._node.poll() is not None):
                log = self._folder / "node.log"
                pytest.fail(f"RabbitMQ does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": folder,
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{127,0,0,1}} -start_epmd false {_QUIET}"
            ),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


class Names:
    """An exchange and queues that no other test uses.

    Deleting and declaring a quorum queue again is no way to start clean: after a crash RabbitMQ
    3.10 may not find such a queue's log any more.
    """

    def __init__(self) -> None:
        self._run = next(_runs)
        self.exchange = f"{EXCHANGE}.{self._run}"

    def name(self, queue: str) -> str:
        """What the queue is called in this test."""
        return f"{queue}.{self._run}"

    def specs(self, queues: tuple[QueueSpec, ...]) -> tuple[QueueSpec, ...]:
        """The same queues under their names."""
        return tuple(replace(spec, name=self.name(spec.name)) for spec in queues)


class ApartBroker(RabbitBroker):
    """The adapter, with the names of one test put in the place of the usual ones."""

    def __init__(self, url: str, names: Names, *, publish_timeout_s: float = 20.0) -> None:
        super().__init__(url, exchange=names.exchange, publish_timeout_s=publish_timeout_s)
        self.names = names

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``."""
        await super().open(self.names.specs(queues))

    def consume(self, queue: str, prefetch: int) -> AsyncGenerator[RabbitDelivery, None]:
        """See ``Broker``."""
        return super().consume(self.names.name(queue), prefetch)

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        return await super().depth(self.names.name(queue))

    async def unbind(self, queue: str, routing_key: str) -> None:
        """See ``Broker``."""
        await super().unbind(self.names.name(queue), routing_key)


def _spawn(argv: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a group of its own, ended as a whole
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.fixture(scope="session")
def _one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def rabbitmq(_one_server: RabbitServer) -> RabbitServer:
    """One node for the whole run, up again whatever the test before did to it."""
    if not _one_server.is_up:
        _one_server.start()
    return _one_server
