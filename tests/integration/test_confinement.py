"""What reads other people's files is confined: it has limits, and ends with its parent."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from sfu_wrapper.adapters.media import tasks, tools
from sfu_wrapper.adapters.media.demux import opened
from sfu_wrapper.adapters.media.resource_limits import limits_of
from sfu_wrapper.adapters.media.tasks import MeasureAudio, Preprocess, carry_out
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os.files import refused
from sfu_wrapper.adapters.os.rlimits import Limits, command
from sfu_wrapper.model.errors import JobFailed, Stage
from tests.helpers.forks import server_of
from tests.helpers.processes import is_running
from tests.helpers.samples import ALICE, SAMPLES

MIX = SAMPLES / "seg-1" / "mix.wav"
DEADLINE_S = 40.0


def run(limits: Limits, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    python = [sys.executable, "-I", "-S", "-c", program, *arguments]
    return subprocess.run(
        command(limits, python), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize(
    ("limits", "program", "complaint"),
    [
        (Limits(memory_bytes=100 << 20), "bytearray(200 << 20)", "MemoryError"),
        (
            Limits(file_bytes=1000),
            "open(sys.argv[1], 'wb', 0).write(bytes(2000)), open(sys.argv[1], 'ab', 0).write(b'x')",
            "Errno 27",
        ),
        (Limits(files=20), "[open('/dev/null') for _ in range(20)]", "Errno 24"),
    ],
)
def test_a_program_is_refused_more_than_its_limit(
    tmp_path: Path, limits: Limits, program: str, complaint: str
) -> None:
    done = run(limits, f"import sys; kept = {program}", str(tmp_path / "file"))

    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_program_gets_so_much_processor_time_and_no_more() -> None:
    assert run(Limits(cpu_s=1), "while True: pass").returncode == -signal.SIGXCPU


def test_a_program_within_its_limits_runs_as_ever() -> None:
    done = run(Limits(), "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))")

    assert (done.returncode, done.stdout) == (0, "(0, 0)\n")


async def test_a_media_process_that_takes_too_much_time_fails_for_good_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tools, "_COMMAND", server_of("while True: pass"))
    monkeypatch.setattr(tools, "limits_of", lambda *_: Limits(cpu_s=1))

    with MediaProcesses() as media, pytest.raises(JobFailed, match="limit of 1 s of") as caught:
        await media.audio_us(MIX, timeout_s=DEADLINE_S)

    assert (caught.value.code, caught.value.permanent) == ("LIMIT_EXCEEDED", True)


async def test_a_media_process_that_something_killed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(tools, "_COMMAND", server_of(work))

    with MediaProcesses() as media, pytest.raises(JobFailed, match="killed by SIGKILL") as caught:
        await media.audio_us(MIX, timeout_s=DEADLINE_S)

    assert (caught.value.code, caught.value.permanent) == ("MEDIA_CRASH", False)


def test_a_task_that_needs_too_much_memory_fails_for_good_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def greedy(source: Path) -> bool:
        raise MemoryError

    monkeypatch.setattr(tasks, "audio_us", greedy)

    with pytest.raises(JobFailed, match="limit of memory") as caught:
        carry_out(MeasureAudio(MIX), lambda _: None)

    assert (caught.value.code, caught.value.permanent) == ("LIMIT_EXCEEDED", True)


def test_limits_grow_with_the_input_and_the_time_it_may_take(tmp_path: Path) -> None:
    size = ALICE.stat().st_size
    task = Preprocess(ALICE, tmp_path)
    with opened(ALICE) as raw:
        short, long = (limits_of(task, timeout_s, [raw]) for timeout_s in (60, 600))
        many = limits_of(task, 60, [raw] * 1000)

    assert short.file_bytes == long.file_bytes == (64 << 20) + 2 * size
    assert long.cpu_s == 10 * short.cpu_s == 600 * (os.cpu_count() or 1)
    assert limits_of(task, 60, []).file_bytes == 64 << 20
    assert short.files == 256
    assert many.files > 1000


@pytest.mark.parametrize(
    ("number", "code", "permanent"),
    [(28, "NO_SPACE", False), (122, "NO_SPACE", False), (27, "LIMIT_EXCEEDED", True),
     (24, "LIMIT_EXCEEDED", True), (5, "IO_ERROR", False), (13, "IO_ERROR", False)],
)  # fmt: skip
def test_what_the_system_refuses_has_a_name(number: int, code: str, permanent: bool) -> None:
    failure = refused(Stage.COMPOSE, OSError(number, os.strerror(number), "a.webm"))

    assert (failure.code, failure.permanent) == (code, permanent)
    assert "a.webm" in failure.detail or code == "LIMIT_EXCEEDED"
    assert "Errno" not in failure.detail


def test_a_refusal_without_a_file_is_told_as_the_system_tells_it() -> None:
    assert refused(Stage.COMPOSE, OSError("broken")).detail == "broken"
    assert refused(Stage.COMPOSE, OSError(5, "I/O error"), file="a").detail == "a: I/O error"


_PARENT = """
import asyncio, sys
from pathlib import Path
from sfu_wrapper.adapters.os.rlimits import Limits, command
from sfu_wrapper.adapters.media import tools
from tests.helpers.forks import server_of

async def main():
    sleeping = await asyncio.create_subprocess_exec(*command(Limits(), ["sleep", "60"]))
    tools._COMMAND = server_of("import time; time.sleep(60)")
    with tools.MediaProcesses() as media:
        await media.audio_us(Path(sys.argv[1]), timeout_s=60)

asyncio.run(main())
"""


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = {int(word) for word in listed.split()}
    return found.union(*map(children, found))


def is_confined(pid: int) -> bool:
    return f"Max open files            {Limits().files} " in Path(f"/proc/{pid}/limits").read_text()


@pytest.mark.parametrize("stopped", [False, True])
async def test_nothing_outlives_a_killed_worker(stopped: bool) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(MIX), stderr=asyncio.subprocess.PIPE
    )
    found: set[int] = set()
    try:
        async with asyncio.timeout(DEADLINE_S):
            while sum(map(is_confined, found)) < 2:  # the third one is the server
                await asyncio.sleep(0.05)
                found = children(parent.pid)
            if stopped:
                for pid in found:
                    os.kill(pid, signal.SIGSTOP)
            parent.kill()
            await parent.wait()
            while any(map(is_running, found)):  # noqa: ASYNC110 other people's processes
                await asyncio.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            parent.kill()
