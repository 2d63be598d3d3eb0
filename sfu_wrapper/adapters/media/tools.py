"""The media tools in child processes, so that no codec runs in the process of the event loop.

Each call starts one process. A timeout or a cancelled call kills it, with everything it started.
"""

import asyncio
import contextlib
import errno
import json
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sfu_wrapper.adapters.media import tasks
from sfu_wrapper.adapters.media.fork_client import Fork, ForkClient
from sfu_wrapper.adapters.media.media_process import LENGTH_BYTES
from sfu_wrapper.adapters.media.resource_limits import limits_of
from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.adapters.os.confinement import Policy
from sfu_wrapper.adapters.os.files import over_limit, refused
from sfu_wrapper.adapters.os.rlimits import Limits
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.core.plan import AudioSource, Composition
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.ports.media_tools import PreparedVideo, Progress

_COMMAND = (sys.executable, "-m", "sfu_wrapper.adapters.media.media_process")
_MAX_ANSWER_BYTES = 1 << 20
_MAX_ERROR_BYTES = 1 << 12  # of the end of standard error, for the message

OpenRaw = Callable[[Path], int]


class MediaProcesses:
    """``MediaTools`` with one process per call, forked from a server that lives with the context.

    Args:
        preprocessor: program that converts raw files; None: our own code.
        open_raw: opens a raw file, once for each process that reads it. Raises JobFailed, OSError.
        confinement: policy where the system does not allow to confine a process.
    """

    def __init__(
        self,
        preprocessor: str | None = None,
        open_raw: OpenRaw = open_plain,
        confinement: Policy = "prefer",
    ) -> None:
        self._preprocessor = preprocessor
        self._open_raw = open_raw
        self._forks = ForkClient((*_COMMAND, confinement))

    def __enter__(self) -> Self:
        self._forks.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._forks.close()

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        """See the port."""
        task = tasks.Preprocess(source, target_dir, self._preprocessor)
        result = await self._run(task, timeout_s)
        return result if isinstance(result, PreparedVideo) else None

    async def audio_us(self, source: Path, *, timeout_s: float) -> int:
        """See the port."""
        result = await self._run(tasks.MeasureAudio(source), timeout_s)
        return result if isinstance(result, int) else 0

    async def compose(
        self,
        plan: Composition,
        target: Path,
        progress: Progress,
        *,
        poster: Path | None = None,
        timeout_s: float,
    ) -> tuple[int, ...]:
        """See the port."""
        result = await self._run(tasks.Compose(plan, target, poster), timeout_s, progress)
        return result if isinstance(result, tuple) else ()

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        """See the port."""
        await self._run(tasks.CopyVideo(source, target), timeout_s)

    async def write_audio(
        self, sources: Sequence[AudioSource], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        """See the port."""
        await self._run(tasks.WriteAudio(tuple(sources), duration_us, target), timeout_s)

    async def _run(
        self, task: tasks.Task, timeout_s: float, progress: Progress = lambda _: None
    ) -> tasks.Result:
        """Run a task in a process and return its result. Raises JobFailed for every failure."""
        stage = tasks.stage_of(task)
        try:
            async with asyncio.timeout(timeout_s), self._raw_files(task) as raw:
                limits = limits_of(task, timeout_s, raw)
                async with (
                    self._forks.fork(limits, _MAX_ANSWER_BYTES, raw) as fork,
                    asyncio.TaskGroup() as group,
                ):
                    errors = group.create_task(_end_of_stderr(fork))
                    answer = group.create_task(_converse(fork, task, progress))
                    code = group.create_task(fork.exit_code())
        except TimeoutError as exc:
            detail = f"took longer than {timeout_s:g} s"
            raise JobFailed(stage, JobCode.TIMEOUT, detail, permanent=False) from exc
        except OSError as exc:
            detail = f"no media process can be started: {exc}"
            raise JobFailed(stage, JobCode.MEDIA_CRASH, detail, permanent=False) from exc
        end = _end_of(code.result(), errors.result())
        return _result_of(task, answer.result(), end, limits)

    @asynccontextmanager
    async def _raw_files(self, task: tasks.Task) -> AsyncIterator[list[int]]:
        """Open the raw files of a task; provide their descriptors in order. Raises JobFailed."""
        with contextlib.ExitStack() as stack:
            opened: list[int] = []
            for path in tasks.raw_files(task):
                try:
                    number = await run_in_daemon_thread(self._open_raw, path)
                except OSError as exc:
                    raise _not_opened(tasks.stage_of(task), path, exc) from exc
                stack.callback(os.close, number)
                opened.append(number)
            yield opened


def _not_opened(stage: Stage, path: Path, error: OSError) -> JobFailed:
    """Return the failure for a raw file that this process could not open."""
    if error.errno == errno.EMFILE:
        # The limit is the worker's own, not that of a media process: the input is not at fault.
        detail = "this worker has too many files open: raise its limit (LimitNOFILE)"
        return JobFailed(stage, JobCode.IO_ERROR, detail, permanent=False, file=path.name)
    return refused(stage, error, file=path.name)


async def _converse(fork: Fork, task: tasks.Task, progress: Progress) -> object:
    """Send the task, report progress, and return the last line; None where it is unreadable."""
    body = pickle.dumps(task)
    fork.questions.write(len(body).to_bytes(LENGTH_BYTES) + body)
    last: object = None
    with contextlib.suppress(ConnectionError):
        try:
            async for line in fork.answers:
                match last := json.loads(line):
                    case {"progress": int() | float() as percent}:
                        progress(percent)
        except ValueError:  # not our protocol: discard the output until the timeout
            last = None
            while await fork.answers.read(_MAX_ANSWER_BYTES):
                pass
    return last


async def _end_of_stderr(fork: Fork) -> str:
    kept = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await fork.complaints.read(_MAX_ERROR_BYTES):
            kept = (kept + chunk)[-_MAX_ERROR_BYTES:]
    return kept.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class _End:
    """End of a process: the signal that killed it, if any, and its last line of standard error."""

    signal: signal.Signals | None
    last_line: str


def _end_of(code: int | None, errors: str) -> _End:
    killer = signal.Signals(-code) if code is not None and code < 0 else None
    return _End(killer, errors.rsplit("\n", 1)[-1])


def _result_of(task: tasks.Task, answer: object, end: _End, limits: Limits) -> tasks.Result:
    """Return the result of a process that has ended. Raises JobFailed where it has none."""
    stage = tasks.stage_of(task)
    match answer:
        case {"failed": {"stage": str(failed), "code": str(code), "detail": str(detail),
                         "permanent": bool(permanent), "file": None | str() as file}}:  # fmt: skip
            with contextlib.suppress(ValueError):  # no code of ours: reported as a crash below
                reason = Stage(failed), JobCode(code)
                raise JobFailed(*reason, detail, permanent=permanent, file=file)
        case {"result": result}:
            with contextlib.suppress(LookupError, TypeError, ValueError):
                return tasks.result_from_json(task, result)
    if end.signal is signal.SIGXCPU:
        raise over_limit(stage, f"exceeds the limit of {limits.cpu_s} s of processor time")
    cause = f"killed by {end.signal.name}" if end.signal else end.last_line or "without a message"
    detail = f"the media process ended unexpectedly: {cause}"
    raise JobFailed(stage, JobCode.MEDIA_CRASH, detail, permanent=False)
