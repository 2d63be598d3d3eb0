"""A recording on its whole way, with a controller and a worker that die: from stop to deletion."""

import asyncio
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.helpers.live import connected, token
from tests.helpers.processes import Command, environment, free_port, start
from tests.helpers.receivers import Receiver
from tests.helpers.s3 import SECRETS, S3Server
from tests.helpers.uploadpoints import Bucket

DONE_S = 45.0  # a deadline, for each death too: dead processes hold messages for some seconds
EVENTS = ["recording.started", "recording.stopped", "recording.ready", "recording.deleted"]
QUEUES = ("processing_queue", "deletion_queue", "sfu_wrapper.index", "failure_queue")
PROCESSES = {"serve": "ready", "worker": "worker.ready"}  # with what they log at their start
PROGRAM = "tests.helpers.dyingcalls"


@dataclass(frozen=True, slots=True)
class Death:
    """Call of a process at which it dies, as ``tests.helpers.dyingcalls`` has it.

    process: ``serve`` or ``worker``; call: its number, or name and number; when: ``before`` or
    ``after`` it.
    """

    process: str
    call: str
    when: str


def bucket_of(server: S3Server | None) -> tuple[dict[str, str], Bucket | None]:
    """Return the settings for a bucket of its own, and the bucket; nothing without a server."""
    if server is None:
        return {}, None
    bucket = Bucket(server, "chain")
    settings = bucket.settings(server.endpoint)
    variables = {f"SFU_WRAPPER__{key}": value for key, value in settings.items()}
    return variables | {name.upper(): value for name, value in SECRETS.items()}, bucket


@dataclass(slots=True)
class Chain:
    """One installation, its receiver of webhooks, and perhaps a bucket.

    Attributes:
        folder: of the installation.
        there: receiver of the webhooks.
        settings: further variables of both processes.
        bucket: where finished files go; None: they stay.
        left: files that stay after a run in which nothing died.
    """

    folder: Path
    there: Receiver
    settings: dict[str, str] = field(default_factory=dict)
    bucket: Bucket | None = None
    left: set[str] = field(default_factory=set)
    _env: dict[str, str] = field(default_factory=dict)
    _http: int = field(default_factory=free_port)
    _websocket: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._env = environment(
            self.folder,
            WEBSOCKET__PORT=str(self._websocket),
            HTTP__PORT=str(self._http),
            ROOMS__RECORD="all",
            ROOMS__RECONNECT_GRACE_SECONDS="600",
            WEBHOOKS__ALLOW_PRIVATE="true",
            WORKER__CONCURRENCY="1",
            LOG__LEVEL="info",
        )
        self._env |= self.settings | {"CALLS": str(self.folder / "calls")}
        for name in [name for name in self._env if name.startswith("COVERAGE")]:
            del self._env[name]  # a killed process leaves torn data

    async def prepare(self) -> None:
        """Record a second, and let the controller die before the segment goes to the workers."""
        self.folder.mkdir()
        dies = {"DEATH": "QueueFile.publish/recordingInfo:1:before"}
        controller = await start(self._env | dies, "serve", module=PROGRAM)
        await controller.logged("ready")
        await self._ask("POST", "/webhooks", {"url": self.there.url})
        url = f"ws://127.0.0.1:{self._websocket}"
        async with connected(url, "alice") as alice:
            await alice.ok("createRoom", {"id": "call", "kind": "meeting", "record": False})
            await alice.ok("joinRoom", {"room": "call", "media": {"audio": True, "video": True}})
            await alice.ok("startRoomRecording", {"room": "call"})
            await alice.event("roomRecordingStarted")
            await asyncio.sleep(1)
            with suppress(TimeoutError):
                async with asyncio.timeout(5):  # it may die before it answers
                    await alice.ask("stopRoomRecording", {"room": "call"})
        await controller.ended()
        self.folder.rename(self._template)

    async def run(self, *deaths: Death) -> tuple[int, dict[str, list[str]]]:
        """Run both processes from the template until the recording is deleted, and compare.

        Args:
            deaths: each process dies at the first of its own, is started again, and dies at the
                next one.

        Returns:
            Number of deaths, and the durable calls of each process.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._template, self.folder)
        self.there.requests.clear()
        left = {name: [d for d in deaths if d.process == name] for name in PROCESSES}
        running: dict[str, Command] = {}
        died = 0
        try:
            async with asyncio.timeout(DONE_S * (1 + len(deaths))):
                for name in PROCESSES:
                    running[name] = await self._start(name, left)
                died += await self._finish(running, left)
                for name in ("worker", "serve"):
                    while (code := await running[name].terminate()) == -SIGKILL and left[name]:
                        died += await self._finish(running, left)  # it died meanwhile
                    assert code == 0, f"{name} ended with {code}"
                    del running[name]
        finally:
            for each in running.values():
                await each.kill()
        await self._compare()
        return died, self._calls()

    @property
    def _template(self) -> Path:
        return self.folder.with_name("template")

    def _calls(self) -> dict[str, list[str]]:
        files = {name: self.folder / f"calls-{name}" for name in PROCESSES}
        return {name: file.read_text().split("\n")[:-1] for name, file in files.items()}

    async def _start(self, name: str, left: Mapping[str, list[Death]]) -> Command:
        variables = self._env | {"CALLS": str(self.folder / f"calls-{name}")}
        if left[name]:
            variables["DEATH"] = f"{left[name][0].call}:{left[name][0].when}"
        command = await start(variables, name, module=PROGRAM)
        if not left[name]:  # it lives, and from then on ends as it should
            await command.logged(PROCESSES[name])
        return command

    async def _revive(self, running: dict[str, Command], left: Mapping[str, list[Death]]) -> int:
        """Start again what has died. Returns the number of deaths."""
        dead = [name for name, each in running.items() if each.process.returncode is not None]
        for name in dead:
            assert left[name], f"{name} has ended: {running[name].lines[-3:]}"
            del left[name][0]
            with closing(sqlite3.connect(self.folder / "state" / "store.db")) as store, store:
                store.execute("DELETE FROM leases")  # instead of waiting for their end
            running[name] = await self._start(name, left)
        return len(dead)

    async def _finish(self, running: dict[str, Command], left: Mapping[str, list[Death]]) -> int:
        """Wait until the recording is deleted. Returns the number of deaths."""
        died = await self._revive(running, left)
        while not await self._is_over():
            died += await self._revive(running, left)
            await asyncio.sleep(0.05)
        return died + await self._revive(running, left)

    async def _is_over(self) -> bool:
        """Take the next step. Returns True once the recording is deleted and all is reported."""
        shown = await self._shown()
        if shown is None or shown["state"] not in ("ready", "deleted"):
            return False
        events = [type_ for _, type_ in self._events()]
        if shown["state"] == "ready":
            if "recording.ready" in events and shown.get("deletion") is None:
                self._require_files(shown["files"])
                await self._ask("DELETE", f"/recordings/{shown['uuid']}/{shown['segment']}")
            return False
        return "recording.deleted" in events and self._waiting() == 0

    async def _shown(self) -> dict[str, Any] | None:
        listed = await self._ask("GET", "/recordings")
        found = listed["recordings"] if listed else []
        return found[0] if found else None

    async def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Ask the controller; None while it is dead."""
        headers = {"Authorization": f"Bearer {token('adam', 'domain-admin')}"}
        content = None if body is None else json.dumps(body).encode()
        if content:
            headers["Content-Type"] = "application/json"
        url = f"http://127.0.0.1:{self._http}{path}"
        request = Request(url, content, headers, method=method)

        def fetch() -> Any:  # noqa: ANN401
            try:
                with urlopen(request, timeout=10) as answer:
                    return json.loads(answer.read() or b"{}")
            except HTTPError as error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
            except (OSError, HTTPException, ValueError):  # it died, before or while it answered
                return None

        return await asyncio.to_thread(fetch)

    def _events(self) -> list[tuple[str, str]]:
        """Id and type of each webhook about the recording, repeats dropped."""
        seen: dict[str, bytes] = {}
        for request in self.there.requests:
            assert seen.setdefault(request.id, request.body) == request.body
        types = {id_: json.loads(body)["type"] for id_, body in seen.items()}
        return [(id_, type_) for id_, type_ in types.items() if type_.startswith("recording.")]

    def _waiting(self) -> int:
        """Number of messages and outbox rows that someone still has to handle."""
        with closing(sqlite3.connect(self.folder / "state" / "queue.db")) as queue:
            marks = ",".join("?" * len(QUEUES))
            sql = f"SELECT count(*) FROM messages WHERE queue IN ({marks})"  # noqa: S608
            (messages,) = queue.execute(sql, QUEUES).fetchone()
        with closing(sqlite3.connect(self.folder / "state" / "store.db")) as store:
            (rows,) = store.execute("SELECT count(*) FROM outbox").fetchone()
        return int(messages + rows)

    def _require_files(self, files: Sequence[Mapping[str, Any]]) -> None:
        """The files of the index are those of the disk, or of the bucket, and no others."""
        found = self._finished() if self.bucket is None else self.bucket.content()
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
        assert sums == {file["name"]: file["sha256"] for file in files}

    def _finished(self) -> dict[str, bytes]:
        out = self.folder / "out"
        files = (path for path in out.rglob("*") if path.is_file())
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in files
            if ".sfu-wrapper" not in path.parts
        }

    def _files(self) -> set[str]:
        folders = (self.folder / name for name in ("out", "raw", "raw-audio", "logs"))
        found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)) for path in found}

    async def _compare(self) -> None:
        """Require what has to be true whatever died."""
        types = [type_ for _, type_ in self._events()]
        assert types == EVENTS[-len(types) :], f"each once, in order, not {types}"
        assert len(types) >= 2
        assert self._finished() == {}
        assert self.bucket is None or self.bucket.names() == []
        self.left = self.left or self._files()
        assert self._files() == self.left, "no stray files"
        for command in (("audit", "verify"), ("recordings", "reindex", "--json")):
            done = await start(self._env, *command)
            assert await done.ended() == 0, f"{command}: {done.lines}"
        with closing(sqlite3.connect(self.folder / "state" / "store.db")) as store:
            states = store.execute("SELECT state FROM recordings").fetchall()
        assert states == [("deleted",)], "the index says so after a reindex too"
