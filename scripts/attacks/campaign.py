"""One run of one attack: controller, striker, prober, and what is found in the queue at the end."""

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.attacks.catalogue import Attack
from scripts.attacks.controller import TOP, Controller, announced, ended, serving, somewhere
from scripts.attacks.judge import Phase, Run
from scripts.attacks.prober import Probed, Sample

MEMORY_EVERY_S = 0.1
PREPARE_S = 200.0
END_S = 90.0
PUBLISH_S = 60.0
# Lines of the log that an attack explains; anything else at level error is a finding.
EXPECTED = {"recording.missed"}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of the phases of a run."""

    quiet_s: float
    strike_s: float
    after_s: float


async def run(attack: Attack, checkout: Path, lengths: Lengths) -> Run:
    """Run one attack against a controller of ``checkout``. Raises TimeoutError."""
    where = somewhere(attack.algorithm, lengths.strike_s)
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        folder = Path(name)
        async with serving(checkout, folder, attack.settings, where) as controller:
            found = await _struck(attack, controller, lengths)
            found.ended = await ended(controller)
            found.broke = sorted(
                {what for level, what in controller.logged() if level in ("error", "critical")}
                - EXPECTED
            )
        found.lost = await _never_announced(found, checkout, folder)
    return found


async def _struck(attack: Attack, controller: Controller, lengths: Lengths) -> Run:
    """Probe before, during and after the strike."""
    line = controller.where.line()
    async with _program("strike", attack.name) as striker:
        _send(striker, line)
        await _ready(striker)
        async with _program("prober") as prober, _memory_of(controller) as memory:
            _send(prober, line)
            await _ready(prober)
            quiet = await _phase(lengths.quiet_s)
            began_s, cpu_s = time.monotonic(), controller.cpu_s()
            starved_s = controller.starved_s()
            _send(striker, b"go\n")
            told = json.loads(await _rest(striker))
            strike = Phase(began_s, time.monotonic())
            length_s = strike.end_s - began_s
            cpu = (controller.cpu_s() - cpu_s) / length_s
            starved = (controller.starved_s() - starved_s) / length_s
            after = await _phase(lengths.after_s)
            probed = _probed(await _rest(prober))
    return Run(
        attack, quiet, strike, after, probed, **told, memory=memory, cpu=cpu, starved=starved
    )


async def _never_announced(found: Run, checkout: Path, folder: Path) -> list[tuple[str, int]]:
    """Return the segments that reach no queue.

    What a controller has not published when it ends waits in its store, for its next start.
    """
    started = set(found.probed.starts)
    if started <= announced(folder):
        return []
    where = somewhere(found.attack.algorithm, 0)
    async with serving(checkout, folder, {"RABBITMQ__ADDRESS": "embedded:"}, where):
        until_s = time.monotonic() + PUBLISH_S
        while time.monotonic() < until_s and not started <= announced(folder):  # noqa: ASYNC110  # nobody signals a file
            await asyncio.sleep(0.2)
    return sorted(started - announced(folder))


async def _phase(seconds: float) -> Phase:
    begin_s = time.monotonic()
    await asyncio.sleep(seconds)
    return Phase(begin_s, time.monotonic())


@asynccontextmanager
async def _program(*arguments: str) -> AsyncIterator[Process]:
    """A module of ours as a process, which is killed by its id where it does not end."""
    name, *rest = arguments
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"scripts.attacks.{name}", *rest),
        cwd=TOP,
        stdin=PIPE,
        stdout=PIPE,
        limit=2**26,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _send(process: Process, line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  # made with a pipe
    process.stdin.write(line)


async def _ready(process: Process) -> None:
    assert process.stdout is not None  # noqa: S101  # made with a pipe
    async with asyncio.timeout(PREPARE_S):
        line = await process.stdout.readline()
    if line != b"ready\n":
        raise RuntimeError("an attack could not be prepared; see above")


async def _rest(process: Process) -> bytes:
    """Return what it prints, once it has ended: a prober ends with its input."""
    async with asyncio.timeout(END_S):
        out, _ = await process.communicate(b"")
    if process.returncode:
        raise RuntimeError(f"a program of the attack ended with {process.returncode}")
    return out


def _probed(out: bytes) -> Probed:
    found = json.loads(out)
    return Probed(
        [Sample(**each) for each in found["samples"]],
        [(uuid, segment) for uuid, segment in found["starts"]],
        [(at_s, status, lacking) for at_s, status, lacking in found["readiness"]],
    )


@asynccontextmanager
async def _memory_of(controller: Controller) -> AsyncIterator[list[tuple[float, float]]]:
    """Note the controller's memory again and again, as long as the context lasts."""
    found: list[tuple[float, float]] = []

    async def note() -> None:
        while True:
            found.append((time.monotonic(), controller.resident_mib()))
            await asyncio.sleep(MEMORY_EVERY_S)

    noting = asyncio.create_task(note())
    try:
        yield found
    finally:
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting
