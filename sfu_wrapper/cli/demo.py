"""``sfu-wrapper demo``: a recorded call from beginning to end, on this machine only.

Controller and recording service run as in production, over an embedded database and queue. The
participants are simulated; their video and audio are really encoded.

Call of ``sfu-wrapper demo``: the actions of its participants, over real WebSockets.

Acts as client and narrates; the controller alone decides about recording.
"""

import asyncio
import json
import os
import secrets
import shutil
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.controller import Parts, controller
from sfu_wrapper.app.parts import open_broker, open_store
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.cli import common
from sfu_wrapper.cli.common import stop_requested
from sfu_wrapper.cli.worker import working
from sfu_wrapper.client import Client, ClientOptions, RequestRefused, connect
from sfu_wrapper.config.load import load
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)
from sfu_wrapper.observe import logs
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.wire.claims import Claims, encode
from sfu_wrapper.wire.client_messages import EventMessage, Response
from sfu_wrapper.wire.client_models import Json

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan")
DOMAIN = "example"
MEDIA: Json = {"audio": True, "video": True}

Narrate = Callable[[str, str], None]


@dataclass(slots=True)
class DemoCall:
    """Demo call: ``names[0]`` is the caller, the last one joins late, the second leaves early.

    Attributes:
        url: address of the controller's WebSocket server.
        token: returns a token for a user and its roles.
        narrate: called with a participant and an action, to narrate.
        names: user ids of the participants, at least two.
        seconds: length of each of the two segments.
        room: id of the room.
        segments: responses of the stops, so far.
    """

    url: str
    token: Callable[[str, tuple[str, ...]], str]
    narrate: Narrate
    names: tuple[str, ...]
    seconds: float
    room: str = "demo-call"
    segments: list[Json] = field(default_factory=list)
    _callers: dict[str, Client] = field(default_factory=dict)
    _news: list[str] = field(default_factory=list)

    async def play(self) -> str:
        """Run the call to the end and return the uuid of the room.

        Raises:
            RequestRefused, Unavailable: a step failed.
        """
        async with AsyncExitStack() as stack:
            token = self.token("room-service", ("service",))
            options = ClientOptions(on_frame=self._overheard)
            service = await stack.enter_async_context(
                connect(self.url, token=token, options=options)
            )
            for name in self.names:
                caller = connect(self.url, token=self.token(name, ("user",)))
                self._callers[name] = await stack.enter_async_context(caller)
            created = await service.request("createRoom", self._wish())
            self.narrate("room service", f"creates the direct call {self.room!r} of {self.owner}")
            await self._answered()
            await self._refused()
            await self._first_segment()
            await asyncio.sleep(min(1.0, self.seconds / 4))
            await self._second_segment()
            await self._do(self.owner, "endRoom", "hangs up; the call is over")
        return str(created["uuid"])

    @property
    def owner(self) -> str:
        """Caller; the only one who may record."""
        return self.names[0]

    def _wish(self) -> Json:
        return {"id": self.room, "owner": self.owner, "domain": DOMAIN, "record": False}

    async def _answered(self) -> None:
        early = self.names if len(self.names) == 2 else self.names[:-1]
        for name in early:
            word = "calls" if name == self.owner else "answers"
            await self._join(name, f"{word}, camera and microphone on")

    async def _refused(self) -> None:
        other = self.names[1]
        try:
            await self._callers[other].request("startRoomRecording", {})
        except RequestRefused as refused:
            self.narrate(
                other, f"presses record, and is refused: {refused.code} ({refused.detail})"
            )
            return
        raise RequestRefused("UNEXPECTED", f"{other} could start a recording")

    async def _first_segment(self) -> None:
        late = self.names[-1]
        await self._start()
        if len(self.names) > 2:
            await self._later(0.35, lambda: self._join(late, "joins late"))
            await asyncio.sleep(0.65 * self.seconds)
        else:
            await asyncio.sleep(self.seconds)
        await self._stop()

    async def _second_segment(self) -> None:
        await self._start()
        if len(self.names) > 2:
            early = self.names[1]
            await self._later(0.5, lambda: self._do(early, "leaveRoom", "leaves early"))
            await asyncio.sleep(0.5 * self.seconds)
        else:
            await asyncio.sleep(self.seconds)
        await self._stop()

    async def _later(self, share: float, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(share * self.seconds)
        await act()

    async def _join(self, name: str, words: str) -> None:
        joined = await self._callers[name].request("joinRoom", {"room": self.room, "media": MEDIA})
        recording = joined["recording"]
        active = isinstance(recording, dict) and recording["active"]
        recorded = " and is told that the call is being recorded" if active else ""
        self.narrate(name, words + recorded)
        self._retell()

    async def _do(self, name: str, endpoint: str, words: str) -> None:
        await self._callers[name].request(endpoint, {})
        self.narrate(name, words)
        self._retell()

    async def _start(self) -> None:
        answer = await self._callers[self.owner].request("startRoomRecording", {})
        number, since = answer["segment"], answer["startedAt"]
        self.narrate(self.owner, f"presses record: segment {number} runs since {since}")

    async def _stop(self) -> None:
        answer = await self._callers[self.owner].request("stopRoomRecording", {})
        self.segments.append(answer)
        number, duration = answer["segment"], answer["duration"]
        self.narrate(self.owner, f"presses stop: segment {number} holds {duration} s")

    def _overheard(self, frame: Response | EventMessage) -> None:
        """Keep an event of the controller, to narrate it after its cause."""
        match frame:
            case EventMessage(name="roomEstablished"):
                self._news.append("says that the call is established")
            case EventMessage(name="roomEnded", payload=payload):
                self._news.append(f"says that the room has ended ({payload['reason']})")

    def _retell(self) -> None:
        for words in self._news:
            self.narrate("controller", words)
        self._news.clear()


PROCESSING_S = 120.0  # more than a slow machine needs for two short segments
TOKEN_S = 86_400
_WORK = ("raw", "raw-audio", "state")  # folders that only the call itself needs


def add_arguments(parser: ArgumentParser) -> None:
    """Add the number of participants, the length of the call and the output folder."""
    parser.add_argument(
        "--participants", type=_participants, default=3, metavar="N", help="2 to 9 (default: 3)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=8.0, metavar="S", help="of each segment (default: 8)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/demo"), metavar="DIR", help="default: data/demo"
    )
    parser.add_argument(
        "--keep-serving", action="store_true", help="leave the controller up after the call"
    )


def run(args: Namespace) -> int:
    """Run the demo call and print the names of the files."""
    folder = args.out / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = isolated(args, folder, "media.sfu=simulated", "media.mixer=simulated")
    with (folder / "demo.log").open("a", encoding="utf-8") as log_file:
        logs.set_up(common.log_settings(settings), log_file)
        code = asyncio.run(_demo(args, settings, folder))
    for part in _WORK:  # the finished files do not need them
        shutil.rmtree(folder / part, ignore_errors=True)
    return code


async def _demo(args: Namespace, settings: Settings, folder: Path) -> int:
    narrate = _narrator(args)
    clock = SystemClock()
    with open_store(settings) as store:
        may_record = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
        await store.set_permission(DomainId(DOMAIN), UserId(NAMES[0]), may_record)
        async with open_broker(settings) as broker:
            parts = Parts(store, broker, media_plane(settings, clock), clock)
            async with (
                controller(settings, parts) as running,
                working(settings, broker, clock) as worker,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(worker.run())
                narrate("controller", f"listens on {running.url}")
                story = DemoCall(
                    running.url,
                    lambda user, roles: signed(settings, user, roles),
                    narrate,
                    NAMES[: args.participants],
                    args.seconds,
                )
                await story.play()
                files = await _processed(settings, broker, len(story.segments), narrate)
                _end(args, files, folder)
                if args.keep_serving:
                    narrate("controller", f"keeps serving on {running.url}; Ctrl-C ends it")
                    await stop_requested()
                worker.stop()
    return common.DONE


async def _processed(
    settings: Settings, broker: Broker, wanted: int, narrate: Narrate
) -> list[Path]:
    """Wait for the results of the recording service on its queue, as any consumer does."""
    files: dict[int, Path] = {}
    try:
        async with asyncio.timeout(PROCESSING_S):
            async for delivery in broker.consume(settings.recording.processed_queue, 1):
                done = json.loads(delivery.body)
                file = settings.recording.destination_path / done["files"][0]["filename"]
                files[done["segment"]] = file
                await delivery.ack()
                words = f"segment {done['segment']} is ready, {done['duration']:.1f} s"
                narrate("recording service", words)
                if len(files) == wanted:
                    break
    except TimeoutError:
        raise Unavailable(
            f"the recording service has not finished within {PROCESSING_S:.0f} s; see demo.log"
        ) from None
    return [files[number] for number in sorted(files)]


def isolated(args: Namespace, folder: Path, *overrides: str) -> Settings:
    """Return the configuration of a controller that keeps everything in a folder of its own."""
    return load(
        common.config_dir(args),
        os.environ,
        (
            "recordRecordingAtStart=false",
            "websocket.port=0",
            "http.port=0",
            f"auth.secret={secrets.token_hex(32)}",
            f"store.url=sqlite:{folder / 'state' / 'sfu-wrapper.db'}",
            "rabbitmq.address=embedded:",
            f"recordings_path={folder / 'raw'}",
            f"audio_path={folder / 'raw-audio'}",
            f"logs_path={folder / 'logs'}",
            f"destination_path={folder}",
            "split_recording_output=false",
            "should_encrypt=false",
            *overrides,
        ),
    )


def signed(settings: Settings, user: str, roles: tuple[str, ...]) -> str:
    """Return a token that an isolated controller accepts."""
    secret = settings.auth.secret
    if secret is None:
        raise Unavailable("the controller has no secret")
    now_s = int(time.time())
    claims = Claims(
        sub=user,
        domain=DOMAIN,
        roles=list(roles),
        iat=now_s,
        exp=now_s + TOKEN_S,
        aud=settings.auth.audience,
        iss=settings.auth.issuer,
    )
    return encode(claims, secret.get_secret_value(), "HS256")


def _narrator(args: Namespace) -> Narrate:
    began = time.monotonic()

    def narrate(who: str, what: str) -> None:
        at_s = time.monotonic() - began
        common.emit(args, f"{at_s:6.1f} s  {who:<17} {what}", at=round(at_s, 3), who=who, what=what)

    return narrate


def _end(args: Namespace, files: list[Path], folder: Path) -> None:
    text = "\n".join(
        (
            "",
            "One file a segment; open them in a browser:",
            *(f"  {file}" for file in files),
            f"(what controller and recording service logged: {folder / 'demo.log'})",
        )
    )
    common.emit(args, text, files=[str(file) for file in files])


def _participants(text: str) -> int:
    if text not in {str(number) for number in range(2, len(NAMES) + 1)}:
        raise ArgumentTypeError(f"{text!r}: from 2 to {len(NAMES)}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 1 <= seconds <= 600:
        raise ArgumentTypeError("from 1 to 600")
    return seconds
