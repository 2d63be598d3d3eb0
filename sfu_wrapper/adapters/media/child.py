"""The process in which media is read and written, one task a process: ``python -m`` this module.

A file that makes a codec crash or hang takes this process with it and nothing else. The task comes
pickled on standard input from whoever started us; answers are JSON lines, so that what a broken
codec might make us say is never code. Its limits come as its argument. It ends with its parent,
and by itself when standard input does.
"""

import gc
import json
import os
import pickle
import sys
import threading
from io import FileIO
from typing import TextIO, cast

import av.logging

from sfu_wrapper.adapters.limits import impose
from sfu_wrapper.adapters.media.tasks import Task, carry_out, result_to_json
from sfu_wrapper.model.errors import JobFailed

LENGTH_BYTES = 8


def main() -> int:
    """Read one task, do it, say how it went."""
    impose(sys.argv[1])
    gc.freeze()  # what is imported stays: a tenth of the time went into looking whether it does
    av.logging.set_level(av.logging.PANIC)
    answers = _answers()
    # Unbuffered: a thread that waits in a buffered reader cannot be left behind at the end.
    source = os.fdopen(0, "rb", buffering=0, closefd=False)
    task = _read_task(source)
    threading.Thread(target=_end_with_parent, args=[source], daemon=True).start()
    try:
        result = carry_out(task, lambda percent: _say(answers, progress=percent))
    except JobFailed as exc:
        _say(
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
        _say(answers, result=result_to_json(result))
    return 0


def _answers() -> TextIO:
    """Standard output as it was; from now on whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read_task(source: FileIO) -> Task:
    length = int.from_bytes(_read_exactly(source, LENGTH_BYTES))
    body = _read_exactly(source, length)
    return cast("Task", pickle.loads(body))  # noqa: S301 - our own parent's pipe


def _read_exactly(source: FileIO, size: int) -> bytes:
    """Raises EOFError where the parent is gone before it has said all."""
    read = b""
    while len(read) < size:
        chunk = source.read(size - len(read))
        if not chunk:
            raise EOFError("the task broke off")
        read += chunk
    return read


def _end_with_parent(source: FileIO) -> None:
    source.read(1)
    os._exit(1)


def _say(answers: TextIO, **line: object) -> None:
    answers.write(json.dumps(line, default=str) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
