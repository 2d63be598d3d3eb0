"""Fork server: a process with all modules loaded that only forks, so that a task starts in
milliseconds.

Loading the codecs takes a third of a second of processor time, more than many a task needs.
``fork_client`` runs the server and requests forks on its standard input: a datagram holds the
limits of ``adapters.os.rlimits`` and three sockets:

* ``talk``: the fork's standard input and output.
* ``complaints``: its standard error.
* ``status``: kept by the server. It writes the exit code there; if the client closes its end, the
  server kills the fork with all that it started.

The server ends with its parent and the forks end with the server, so that no process outlives a
worker. There are no threads here: a fork would inherit their locks without the threads that
release them.
"""

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from typing import Final, NoReturn

from sfu_wrapper.adapters.os.rlimits import end_with

SOCKETS: Final = 3
_MAX_REQUEST_BYTES: Final = 4096
_CRASHED: Final = 1

Work = Callable[[str], None]
"""Function that a fork runs; the argument is its limits, which the function imposes."""


def serve(work: Work) -> NoReturn:
    """Serve requests until the client is gone. Its process id is our last argument."""
    end_with(int(sys.argv[-1]))
    gc.freeze()  # a collection in a fork would write to, and so copy, the shared pages
    _Server(work).run()
    os._exit(0)


class _Server:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._control = socket.socket(fileno=0)
        self._selector = DefaultSelector()
        self._forks: dict[int, socket.socket] = {}  # not reaped yet: their ids cannot be reused
        self._open = True

    def run(self) -> None:
        self._selector.register(self._control, EVENT_READ, self._serve)
        while self._open:
            for key, _ in self._selector.select():
                key.data()
        for pid in self._forks:
            os.killpg(pid, signal.SIGKILL)

    def _serve(self) -> None:
        limits, given, _, _ = socket.recv_fds(self._control, _MAX_REQUEST_BYTES, SOCKETS)
        if not limits:
            self._open = False
            return
        talk, complaints, status = given
        try:
            self._fork(limits.decode(), talk, complaints, status)
        except OSError as exc:
            with suppress(OSError):  # the client has given up
                os.write(complaints, f"cannot be started: {exc.strerror}".encode())
            os.close(status)
        os.close(talk)
        os.close(complaints)

    def _fork(self, limits: str, talk: int, complaints: int, status: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(limits, talk, complaints)
        os.setpgid(pid, pid)  # in both processes: a kill may come before the child has run
        try:
            ended = os.pidfd_open(pid)
        except OSError:  # its end could not be reported
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._forks[pid] = socket.socket(fileno=status)
        self._selector.register(ended, EVENT_READ, partial(self._reap, pid, ended))
        self._selector.register(self._forks[pid], EVENT_READ, partial(self._abandon, pid))

    def _become(self, limits: str, talk: int, complaints: int) -> NoReturn:
        code = _CRASHED
        try:
            os.setpgid(0, 0)
            for standard, given in enumerate((talk, talk, complaints)):
                os.dup2(given, standard)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            self._work(limits)
            code = 0
        except BaseException:  # a fork must never go on in the server's own loop
            traceback.print_exc()
        finally:
            os._exit(code)

    def _abandon(self, pid: int) -> None:
        if pid in self._forks:  # else the fork has just ended
            self._selector.unregister(self._forks[pid])
            os.killpg(pid, signal.SIGKILL)

    def _reap(self, pid: int, ended: int) -> None:
        os.killpg(pid, signal.SIGKILL)  # processes that the fork has started
        _, code = os.waitpid(pid, 0)
        status = self._forks.pop(pid)
        if status in self._selector.get_map():
            self._selector.unregister(status)
        self._selector.unregister(ended)
        os.close(ended)
        with status, suppress(OSError):  # the client has given up
            status.send(str(os.waitstatus_to_exitcode(code)).encode())
