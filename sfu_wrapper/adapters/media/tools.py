"""The media tools as processes of their own, so that no codec runs beside the event loop.

A process is ended, with everything it started, when its time is up or nobody waits for it any more.
"""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sfu_wrapper.adapters.limits import Limits
from sfu_wrapper.adapters.media import tasks
from sfu_wrapper.adapters.media.bounds import limits_of
from sfu_wrapper.adapters.media.child import LENGTH_BYTES
from sfu_wrapper.adapters.refusals import over_limit
from sfu_wrapper.core.plan import Composition, Sound
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.ports.media import PreparedVideo, Progress

_COMMAND = (sys.executable, "-m", "sfu_wrapper.adapters.media.child")
_MAX_ANSWER_BYTES = 1 << 20
_MAX_COMPLAINT_BYTES = 1 << 12  # of its last words on standard error, for the message


class MediaProcesses:
    """``MediaTools``, one process a call. preprocessor: a program instead of our own code."""

    def __init__(self, preprocessor: str | None = None) -> None:
        self._preprocessor = preprocessor

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        """See the port."""
        result = await _run(tasks.Preprocess(source, target_dir, self._preprocessor), timeout_s)
        return result if isinstance(result, PreparedVideo) else None

    async def sound_us(self, source: Path, *, timeout_s: float) -> int:
        """See the port."""
        result = await _run(tasks.MeasureSound(source), timeout_s)
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
        result = await _run(tasks.Compose(plan, target, poster), timeout_s, progress)
        return result if isinstance(result, tuple) else ()

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        """See the port."""
        await _run(tasks.CopyVideo(source, target), timeout_s)

    async def write_sound(
        self, sounds: Sequence[Sound], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        """See the port."""
        await _run(tasks.WriteSound(tuple(sounds), duration_us, target), timeout_s)


def _ignore(percent: float) -> None:
    del percent


async def _run(task: tasks.Task, timeout_s: float, progress: Progress = _ignore) -> tasks.Result:
    """Raises JobFailed, whatever becomes of the process."""
    stage, limits = tasks.stage_of(task), limits_of(task, timeout_s)
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        str(limits),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a group of its own, so that children die with it
        limit=_MAX_ANSWER_BYTES,
    )
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            complaint = group.create_task(_last_words(process))
            answer = group.create_task(_converse(process, task, progress))
    except TimeoutError as exc:
        detail = f"took longer than {timeout_s:g} s"
        raise JobFailed(stage, "TIMEOUT", detail, permanent=False) from exc
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _judge(task, answer.result(), _end_of(process, complaint.result()), limits)


async def _converse(
    process: asyncio.subprocess.Process, task: tasks.Task, progress: Progress
) -> object:
    """Hand over the task and listen. The last line, or nothing where the process broke off."""
    stdin = cast("asyncio.StreamWriter", process.stdin)
    stdout = cast("asyncio.StreamReader", process.stdout)
    body = pickle.dumps(task)
    stdin.write(len(body).to_bytes(LENGTH_BYTES) + body)
    last: object = None
    # Its standard input stays open until it has ended: it ends itself when we are gone.
    try:
        async for line in stdout:
            match last := json.loads(line):
                case {"progress": int() | float() as percent}:
                    progress(percent)
    except (ValueError, ConnectionError):
        return None
    return last


async def _last_words(process: asyncio.subprocess.Process) -> str:
    stderr = cast("asyncio.StreamReader", process.stderr)
    kept = b""
    while chunk := await stderr.read(_MAX_COMPLAINT_BYTES):
        kept = (kept + chunk)[-_MAX_COMPLAINT_BYTES:]
    return kept.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class _End:
    """How a process ended. signal: what killed it, if anything did."""

    signal: signal.Signals | None
    last_words: str


def _end_of(process: asyncio.subprocess.Process, complaint: str) -> _End:
    code = process.returncode
    killer = signal.Signals(-code) if code is not None and code < 0 else None
    return _End(killer, complaint.rsplit("\n", 1)[-1])


def _judge(task: tasks.Task, answer: object, end: _End, limits: Limits) -> tasks.Result:
    stage = tasks.stage_of(task)
    match answer:
        case {"failed": {"stage": str(told), "code": str(code), "detail": str(detail),
                         "permanent": bool(permanent), "file": None | str() as file}}:  # fmt: skip
            raise JobFailed(told, code, detail, permanent=permanent, file=file)
        case {"result": result}:
            with contextlib.suppress(LookupError, TypeError, ValueError):
                return tasks.result_from_json(task, result)
    if end.signal is signal.SIGXCPU:
        raise over_limit(stage, f"takes more than {limits.cpu_s} s of processor time")
    words = f"killed by {end.signal.name}" if end.signal else end.last_words or "without a word"
    detail = f"the media process broke off: {words}"
    raise JobFailed(stage, "MEDIA_CRASH", detail, permanent=False)
