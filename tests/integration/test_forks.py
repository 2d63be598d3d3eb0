"""Forks do what they are wanted for; whatever becomes of them or their server, somebody is told."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.media import fork_client, tools
from sfu_wrapper.adapters.media.fork_client import Fork, ForkClient
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os.rlimits import Limits
from sfu_wrapper.model.errors import JobFailed
from tests.helpers.forks import server_of
from tests.helpers.processes import is_running
from tests.helpers.samples import SAMPLES

MIX = SAMPLES / "seg-1" / "mix.wav"
WHO = "import os, time; print(os.getpid(), os.getppid(), flush=True); "
STAYS = f"{WHO}time.sleep(60)"
DEADLINE_S = 20.0
LINE_BYTES = 1 << 10


@pytest.fixture
def staying() -> Iterator[ForkClient]:
    client = ForkClient(server_of(STAYS))
    client.open()
    yield client
    client.close()


async def who(fork: Fork) -> tuple[int, int]:
    """The process ids of a fork and of its server."""
    pid, server = (await fork.answers.readline()).split()
    return int(pid), int(server)


def open_in(pid: int) -> set[str]:
    return {each.name for each in Path(f"/proc/{pid}/fd").iterdir()}


async def gone(*pids: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while any(map(is_running, pids)):  # noqa: ASYNC110 not ours to wait for
            await asyncio.sleep(0.01)


async def test_a_fork_says_how_it_ended() -> None:
    client = ForkClient(server_of(f"{WHO}input(); os._exit(7)"))
    try:
        async with client.fork(Limits(), LINE_BYTES) as fork:
            await who(fork)
            fork.questions.write(b"go on\n")
            assert await fork.exit_code() == 7
    finally:
        client.close()


async def test_forks_of_one_server_run_side_by_side(staying: ForkClient) -> None:
    async with (
        staying.fork(Limits(), LINE_BYTES) as one,
        staying.fork(Limits(), LINE_BYTES) as other,
    ):
        (first, server), (second, same) = await who(one), await who(other)

    assert first != second
    assert server == same
    await gone(first, second)


async def test_a_fork_has_nothing_open_that_was_meant_for_another(staying: ForkClient) -> None:
    async with (
        staying.fork(Limits(), LINE_BYTES) as one,
        staying.fork(Limits(), LINE_BYTES) as other,
    ):
        await who(one)
        pid, _ = await who(other)
        assert open_in(pid) == {"0", "1", "2"}


async def test_what_a_fork_has_started_ends_with_it(tmp_path: Path) -> None:
    leaves = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    client = ForkClient(server_of(leaves))
    try:
        async with client.fork(Limits(), LINE_BYTES) as fork:
            left = int(await fork.answers.readline())
            assert await fork.exit_code() == 0
        await gone(left)
    finally:
        client.close()


async def test_closing_ends_the_server_and_its_forks() -> None:
    client = ForkClient(server_of(STAYS))
    async with client.fork(Limits(), LINE_BYTES) as fork:
        pids = await who(fork)
        client.close()
        assert await fork.exit_code() is None

    await gone(*pids)


async def test_a_server_that_has_died_is_told_and_started_again(staying: ForkClient) -> None:
    async with staying.fork(Limits(), LINE_BYTES) as fork:
        pid, server = await who(fork)
        os.kill(server, signal.SIGKILL)
        assert await fork.exit_code() is None

    await gone(pid)
    async with staying.fork(Limits(), LINE_BYTES) as fork:
        _, another = await who(fork)
        assert another != server


async def test_a_server_that_hangs_is_ended_and_started_again(
    staying: ForkClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_client, "_STOP_S", 0.2)
    async with staying.fork(Limits(), LINE_BYTES) as fork:
        pid, server = await who(fork)
        os.kill(server, signal.SIGSTOP)

    await gone(pid)
    async with staying.fork(Limits(), LINE_BYTES) as fork:
        _, another = await who(fork)
        assert another != server


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((sys.executable, "-c", "raise SystemExit(1)"), "without a message"),
        (
            (sys.executable, "-c", f"import os\ndef fork(): raise OSError(11, 'no more')\n"
             f"os.fork = fork\n{server_of('')[-1]}"),
            "cannot be started: no more",
        ),
        (
            (sys.executable, "-c", f"import os\ndef watch(pid): raise OSError(24, 'too many')\n"
             f"os.pidfd_open = watch\n{server_of('')[-1]}"),
            "cannot be started: too many",
        ),
    ],
)  # fmt: skip
async def test_where_no_process_can_be_had_the_job_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(tools, "_COMMAND", command)

    with MediaProcesses() as media, pytest.raises(JobFailed, match=words) as caught:
        await media.audio_us(MIX, timeout_s=DEADLINE_S)

    assert (caught.value.code, caught.value.permanent) == ("MEDIA_CRASH", False)


async def test_where_no_server_can_be_started_the_job_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tools, "_COMMAND", ("/no/such/program",))

    with pytest.raises(JobFailed, match="no media process can be started") as caught:
        await MediaProcesses().audio_us(MIX, timeout_s=DEADLINE_S)

    assert (caught.value.code, caught.value.permanent) == ("MEDIA_CRASH", False)
