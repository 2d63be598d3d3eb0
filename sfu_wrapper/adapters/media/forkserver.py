"""A process that has everything loaded and does nothing but fork: a task starts in milliseconds.

Loading codecs takes a third of a second of processor time, more than many a task does. Run by
``forkclient``, which asks for one fork after the other on our standard input: a datagram holds the
limits of ``adapters.os.rlimits`` and three sockets.

talk: the fork's standard input and output. complaints: its standard error. status: ours; the exit
code is said there, and where the other side closes it the fork is killed with all that it started.

We end with whoever started us and the forks end with us, so that nothing outlives a worker. There
are no threads here: a fork would inherit their locks and not what releases them.
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
"""What a fork does; it is given its limits, and imposes them."""


def serve(work: Work) -> NoReturn:
    """Fork whenever asked, until the other side is gone. Its process id is our last argument."""
    end_with(int(sys.argv[-1]))
    gc.freeze()  # what is loaded stays; a fork that looked whether it does would copy it
    _Server(work).run()
    os._exit(0)


class _Server:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._control = socket.socket(fileno=0)
        self._selector = DefaultSelector()
        self._forks: dict[int, socket.socket] = {}  # not reaped yet, so that a number is its own
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
            with suppress(OSError):  # nobody waits for it any more
                os.write(complaints, f"cannot be started: {exc.strerror}".encode())
            os.close(status)
        os.close(talk)
        os.close(complaints)

    def _fork(self, limits: str, talk: int, complaints: int, status: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(limits, talk, complaints)
        os.setpgid(pid, pid)  # here as well, or it might be killed before it has done so itself
        try:
            ended = os.pidfd_open(pid)
        except OSError:  # nobody would ever hear of its end
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
        if pid in self._forks:  # else it ended just before
            self._selector.unregister(self._forks[pid])
            os.killpg(pid, signal.SIGKILL)

    def _reap(self, pid: int, ended: int) -> None:
        os.killpg(pid, signal.SIGKILL)  # what it has left behind
        _, status = os.waitpid(pid, 0)
        told = self._forks.pop(pid)
        if told in self._selector.get_map():
            self._selector.unregister(told)
        self._selector.unregister(ended)
        os.close(ended)
        with told, suppress(OSError):  # nobody waits for it any more
            told.send(str(os.waitstatus_to_exitcode(status)).encode())
