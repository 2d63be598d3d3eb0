"""Every file operation of a worker that touches its work, results or queue, and dying there.

``strace`` lists them in a first run, and in a later one kills the process at a chosen one, before
the kernel has done it. Whatever is left is what a power switch would leave but for unwritten data.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.formats import wav
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.wire.strict_json import iso
from tests.helpers.owners import Owner
from tests.helpers.processes import environment
from tests.helpers.samples import ALICE, SAMPLES, received, recorded

CALLS = (
    "openat,openat2,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,fsync,fdatasync,"
    "mkdir,mkdirat"
)
KINDS = {
    "openat": "open", "openat2": "open", "mkdir": "open", "mkdirat": "open",
    "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "link": "rename", "linkat": "rename", "unlink": "unlink", "unlinkat": "unlink",
    "rmdir": "unlink", "fsync": "fsync", "fdatasync": "fsync",
}  # fmt: skip
DEADLINE_S = 50
QUEUES = (
    QueueSpec("processing_queue", ("recordingInfo",), dead_letter_key="failed", delivery_limit=9),
    QueueSpec("processed_queue", ("processed",)),
    QueueSpec("failure_queue", ("failed",)),
)
_STARTED_MS = 1_795_484_876_573
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
_PATH = re.compile(r'(?:(?:AT_FDCWD(?:<[^>]*>)?|\d+<([^>]*)>), )?"([^"]*)"|\d+<(/[^>]*)>')


@dataclass(frozen=True, slots=True)
class Point:
    """The n-th call of one kind at one path; strace counts in each thread by itself."""

    call: str
    path: str
    number: int

    @property
    def kind(self) -> str:
        """``open``, ``rename``, ``unlink``, ``fsync`` or, at the queue, ``publish``."""
        return "publish" if "/state/" in self.path else KINDS[self.call]

    def __str__(self) -> str:
        return f"{self.kind}: {self.call} {Path(self.path).name} #{self.number}"


class Installation:
    """A worker with one second of media to process, as often as wanted, always in one place.

    owner: reader of what is delivered, where it is encrypted.
    env: variables of the worker.
    """

    def __init__(self, folder: Path, owner: Owner | None = None, **settings: str) -> None:
        self.folder = folder
        self._owner = owner
        self.out = folder / "out"
        ours = (self.out, folder / "raw" / ".sfu-wrapper", folder / "state" / "queue.db")
        self._watched = tuple(map(str, ours))
        self.env = environment(folder, WORKER__CONCURRENCY="1", **settings)
        for name in [name for name in self.env if name.startswith("COVERAGE")]:
            del self.env[name]  # a killed process leaves torn data

    async def reset(self) -> None:
        """Nothing has happened yet: raw files, and one event in the queue."""
        shutil.rmtree(self.folder, ignore_errors=True)
        event = record(self.folder / "raw", self.folder / "raw-audio")
        (self.folder / "state").mkdir()
        await publish(self.folder, event)

    def points(self) -> list[Point]:
        """What a whole run does, in order. The installation has to be reset before and after."""
        log = self.folder / "strace.log"
        listing = ("-y", "-qq", "-s4096", f"-etrace={CALLS}", "-o", str(log))
        done = self._run("strace", "-f", "--seccomp-bpf", *listing)
        assert done.returncode == 0, done.stderr[-2000:]
        return list(self._parsed(log.read_text()))

    def die_at(self, point: Point) -> bool:
        """Whether the worker, or the process that it had started for this, met its end there."""
        log = self.folder / "strace.log"
        # Without --seccomp-bpf: with it strace 6.1 injects nothing into children.
        kill = f"-einject={point.call}:signal=SIGKILL:when={point.number}"
        only = (f"-P{point.path}", f"-etrace={point.call}")
        self._run("strace", "-f", "-qq", *only, kill, "-o", str(log))
        return "killed by SIGKILL" in log.read_text()

    def resume(self) -> None:
        """A new worker, once the dead one's lease has run out."""
        with closing(sqlite3.connect(self.folder / "state" / "store.db")) as store, store:
            store.execute("DELETE FROM leases")
        done = self._run()
        assert done.returncode == 0, done.stderr[-2000:]

    async def told(self) -> dict[str, list[dict[str, Any]]]:
        """The messages of both result queues, repeats dropped."""
        broker = QueueFile(self.folder / "state" / "queue.db")
        await broker.open(QUEUES)
        found = {}
        for queue in ("processed_queue", "failure_queue"):
            seen: dict[str | None, dict[str, Any]] = {}
            left = await broker.depth(queue)
            deliveries = broker.consume(queue, 100)
            while left:
                delivery = await anext(deliveries)
                seen[delivery.message_id] = json.loads(delivery.body)
                left -= 1
            await deliveries.aclose()
            found[queue] = list(seen.values())
        assert await broker.depth("processing_queue") == 0
        await broker.close()
        return found

    async def strike(self, point: Point, whole: dict[str, str]) -> bool:
        """Die there and come back; whether it struck. whole: what must be delivered in the end."""
        await self.reset()
        struck = self.die_at(point)
        left = self.delivered().items()
        assert left <= whole.items(), f"{point} left half of a file"
        self.resume()
        assert self.delivered() == whole, f"after {point} something else is delivered"
        told = await self.told()
        assert len(told["processed_queue"]) == 1, f"after {point} it was not told once"
        assert told["failure_queue"] == []
        assert self.left_over() == [], f"after {point} not everything was cleaned"
        return struck

    def delivered(self) -> dict[str, str]:
        """What stands in the destination under a final name, by what it shows and sounds like."""
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.out)): self._decoded(path)
            for path in files
            if ".sfu-wrapper" not in path.parts
        }

    def left_over(self) -> list[str]:
        """Raw files, and files of the work on them; of a finished segment there are none."""
        folders = self.folder / "raw", self.folder / "raw-audio", self.out / ".sfu-wrapper" / "work"
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return [str(path.relative_to(self.folder)) for path in files]

    def _decoded(self, path: Path) -> str:
        if self._owner is None:
            return decoded(path)
        assert path.suffix == ".gpg"
        with TemporaryDirectory() as folder:
            plain = Path(folder) / path.stem
            self._owner.gpg("--output", str(plain), "--decrypt", str(path))
            return decoded(plain)

    def _run(self, *tracer: str) -> "subprocess.CompletedProcess[str]":
        command = [*tracer, sys.executable, "-m", "tests.helpers.steady", "worker", "--once"]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def _parsed(self, text: str) -> Iterator[Point]:
        counted: Counter[tuple[str, str, str]] = Counter()
        known: set[Point] = set()
        for line in text.splitlines():
            if (found := _LINE.match(line)) is None:
                continue
            thread, call, arguments, result = found.groups()
            for folder, name, descriptor in _PATH.findall(arguments):
                path = descriptor or (name if name.startswith("/") else folder)
                ours = path.startswith(self._watched)
                if ours and ".consumers" not in path:
                    counted[thread, call, path] += 1
                    point = Point(call, path, counted[thread, call, path])
                    # A look at a folder, or a refusal, changes nothing.
                    if point not in known and "O_PATH" not in arguments and result != "-1":
                        known.add(point)
                        yield point
                    break


async def publish(folder: Path, event: dict[str, Any]) -> None:
    """Put an event into the queue of the installation in that folder."""
    broker = QueueFile(folder / "state" / "queue.db")
    await broker.open(QUEUES)
    info = event["recordingInfo"]
    message_id = f"{info['uuid']}:{info['segment']}"
    body = json.dumps(event).encode()
    await broker.publish(Message("recordingInfo", message_id, body, "room", mandatory=True))
    await broker.close()


def decoded(path: Path) -> str:
    """A digest of every decoded frame and all audio of a file."""
    digest = sha256()
    if path.suffix == ".json":
        return sha256(path.read_bytes()).hexdigest()
    with av.open(str(path)) as container:
        for frame in container.decode():
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def record(raw: Path, mixes: Path) -> dict[str, Any]:
    """One second of one user and of the mix; the event that tells of it."""
    raw.mkdir(parents=True, exist_ok=True)
    mixes.mkdir(exist_ok=True)
    header, packets = received(ALICE)
    recorded(raw / "a.mjr", header, [(ms, packet) for ms, packet in packets if ms < 1000])
    mix = (SAMPLES / "seg-1" / "mix.wav").read_bytes()
    parsed = wav.parse(mix)
    assert parsed is not None
    data = mix[parsed.data_start : parsed.data_start + 32_000]
    (mixes / "mix.wav").write_bytes(wav.header(len(data), rate=16_000) + data)
    started, completed = iso(_STARTED_MS), iso(_STARTED_MS + 1000)
    times = {"startTime": started, "stopTime": completed}
    return {
        "conferenceId": "room",
        "recordingInfo": {
            "uuid": "uuid",
            "confbridgeId": "bridge",
            "segment": 1,
            "started": started,
            "completed": completed,
            "video": {"alice": {"sfuvideo": {"1": {"filename": "a.mjr", **times}}}},
            "audio": {"asterisk": {"mix": {"1": {"filename": "mix.wav", "mixer": "a", **times}}}},
        },
    }
