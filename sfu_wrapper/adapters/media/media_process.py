"""The process that reads and writes media: one task per process, forked by ``fork_server``.

A file that makes a codec crash or hang affects this process only. The parent (``tools``) sends the
descriptors of raw files (``inputs``) and then the pickled task on standard input; the process then
confines itself to its work folder and these descriptors, without a network (``fences``). Answers
are JSON lines, so that the parent never executes the output of a compromised codec.
"""

import json
import os
import pickle
import sys
from functools import partial
from typing import NoReturn, TextIO, cast

import av.logging

from sfu_wrapper.adapters.media import demux, resource_limits
from sfu_wrapper.adapters.media.fork_server import serve
from sfu_wrapper.adapters.media.tasks import Task, carry_out, raw_files, result_to_json
from sfu_wrapper.adapters.os.confinement import Confinement, Policy, demand, enter, restrict
from sfu_wrapper.adapters.os.rlimits import impose
from sfu_wrapper.model.errors import JobFailed

LENGTH_BYTES = 8


def main() -> NoReturn:
    """Serve forks. Our arguments are the policy of confinement and our parent's process id."""
    policy = cast("Policy", sys.argv[1])
    entered = Confinement() if policy == "off" else enter()
    resource_limits.code()
    serve(partial(work, policy, entered))


def work(policy: Policy, entered: Confinement, limits: str) -> None:
    """Read one task, carry it out and write its result or failure."""
    impose(limits)
    av.logging.set_level(av.logging.PANIC)
    answers = _answers()
    descriptors = demux.receive(0)
    task = _read_task()
    demux.hand_over(zip(raw_files(task), descriptors, strict=True))
    if policy != "off":
        demand(policy, entered + restrict(resource_limits.rules_of(task)))
    try:
        result = carry_out(task, lambda percent: _write(answers, progress=percent))
    except JobFailed as exc:
        _write(
            answers,
            failed={
                "stage": exc.stage,
                "code": exc.code,
                "detail": exc.detail,
                "permanent": exc.permanent,
                "file": exc.file,
            },
        )
    else:
        _write(answers, result=result_to_json(result))


def _answers() -> TextIO:
    """Return the standard output for answers; all other prints go to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read_task() -> Task:
    length = int.from_bytes(_read_exactly(LENGTH_BYTES))
    return cast("Task", pickle.loads(_read_exactly(length)))  # noqa: S301 - our own parent's pipe


def _read_exactly(size: int) -> bytes:
    """Read that many bytes. Raises EOFError where the parent ends too early."""
    read = b""
    while len(read) < size:
        chunk = os.read(0, size - len(read))
        if not chunk:
            raise EOFError("the parent process ended before the task was complete")
        read += chunk
    return read


def _write(answers: TextIO, **line: object) -> None:
    answers.write(json.dumps(line, default=str) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
