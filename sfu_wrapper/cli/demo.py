"""``sfu-wrapper demo``: a recorded call from beginning to end, on this machine only.

Controller and recording service run as in production, over an embedded database and queue. The
participants are simulated; their video and audio are really encoded.
"""

import asyncio
import json
import os
import secrets
import shutil
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.controller import Parts, controller
from sfu_wrapper.app.parts import open_broker, open_store
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.cli import common
from sfu_wrapper.cli.signals import stop_requested
from sfu_wrapper.cli.story import DOMAIN, NAMES, Story
from sfu_wrapper.cli.worker import working
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

PROCESSING_S = 120.0  # more than a slow machine needs for two short segments
TOKEN_S = 86_400
_WORK = ("raw", "raw-audio", "state")  # folders that only the call itself needs

Say = Callable[..., None]


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
    settings = _settings(args, folder)
    with (folder / "demo.log").open("a", encoding="utf-8") as log_file:
        logs.set_up(common.log_settings(settings), log_file)
        code = asyncio.run(_demo(args, settings, folder))
    for part in _WORK:  # the finished files do not need them
        shutil.rmtree(folder / part, ignore_errors=True)
    return code


async def _demo(args: Namespace, settings: Settings, folder: Path) -> int:
    say = _teller(args)
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
                say("controller", f"listens on {running.url}")
                story = Story(
                    running.url,
                    lambda user, roles: _token(settings, user, roles),
                    say,
                    NAMES[: args.participants],
                    args.seconds,
                )
                await story.play()
                files = await _processed(settings, broker, len(story.segments), say)
                _end(args, files, folder)
                if args.keep_serving:
                    say("controller", f"keeps serving on {running.url}; Ctrl-C ends it")
                    await stop_requested()
                worker.stop()
    return common.DONE


async def _processed(settings: Settings, broker: Broker, wanted: int, say: Say) -> list[Path]:
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
                say("recording service", words)
                if len(files) == wanted:
                    break
    except TimeoutError:
        raise Unavailable(
            f"the recording service has not finished within {PROCESSING_S:.0f} s; see demo.log"
        ) from None
    return [files[number] for number in sorted(files)]


def _settings(args: Namespace, folder: Path) -> Settings:
    """Return the configuration, with overrides that isolate the demo."""
    return load(
        common.config_dir(args),
        os.environ,
        (
            "recordRecordingAtStart=false",
            "websocket.port=0",
            "http.port=0",
            f"auth.secret={secrets.token_hex(32)}",
            f"store.url=sqlite:{folder / 'state' / 'sfu-wrapper.db'}",
            "media.sfu=simulated",
            "media.mixer=simulated",
            "rabbitmq.address=embedded:",
            f"recordings_path={folder / 'raw'}",
            f"audio_path={folder / 'raw-audio'}",
            f"logs_path={folder / 'logs'}",
            f"destination_path={folder}",
            "split_recording_output=false",
            "should_encrypt=false",
        ),
    )


def _token(settings: Settings, user: str, roles: tuple[str, ...]) -> str:
    secret = settings.auth.secret
    if secret is None:
        raise Unavailable("the demo has made no secret")
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


def _teller(args: Namespace) -> Say:
    began = time.monotonic()

    def say(who: str, what: str) -> None:
        at_s = time.monotonic() - began
        common.emit(args, f"{at_s:6.1f} s  {who:<17} {what}", at=round(at_s, 3), who=who, what=what)

    return say


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
