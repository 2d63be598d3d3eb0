"""``sfu-wrapper simulate``: play scenario files against a controller, and report.

Without ``--url`` each scenario gets a controller of its own, with an empty store.
"""

import asyncio
import secrets
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.controller import Parts, controller
from sfu_wrapper.app.parts import open_broker, open_store
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.cli import common
from sfu_wrapper.cli.demo import isolated, signed
from sfu_wrapper.cli.worker import working
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)
from sfu_wrapper.observe import logs
from sfu_wrapper.ports.store import Store
from sfu_wrapper.simulate.people import GATEWAY, Target, token_of
from sfu_wrapper.simulate.player import Run
from sfu_wrapper.simulate.report import Report, as_json, as_junit, as_text
from sfu_wrapper.simulate.scenario import Scenario, load
from sfu_wrapper.simulate.schedule import users
from sfu_wrapper.wire.claims import peek_claims

DOMAIN: Final = "example"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the scenarios, the controller, and how they are played."""
    parser.add_argument(
        "scenarios", nargs="+", type=Path, metavar="SCENARIO", help="a file, or a folder of files"
    )
    parser.add_argument("--url", help="a running controller (default: one for each scenario)")
    parser.add_argument(
        "--token",
        action="append",
        default=[],
        dest="tokens",
        help="for --url, repeatable: of a service, a gateway (which carries all users), a user",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of all random choices (default: 0)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="X", help="divide pauses by it (default: 1)"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")


def run(args: Namespace) -> int:
    """Play all scenarios; the exit code is 1 if an expectation failed."""
    files = [(path, load(path)) for path in _files(args.scenarios)]
    reports = []
    for path, scenario in files:
        report = asyncio.run(_play(args, path, scenario))
        common.emit(args, as_text(report), **as_json(report))
        reports.append(report)
    if args.junit is not None:
        args.junit.write_bytes(as_junit(reports))
    return common.DONE if all(each.passed for each in reports) else common.FAILED


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.yaml"))
        if not found:
            raise Malformed(f"{path} has no *.yaml files")
        yield from found


async def _play(args: Namespace, path: Path, scenario: Scenario) -> Report:
    if args.url is not None:
        target = _remote(args)
        run_id = secrets.token_hex(4)  # rooms of an earlier run may still live there
        return await Run(str(path), scenario, target, args.seed, run_id, args.speed).play()
    with TemporaryDirectory(prefix="sfu-wrapper-simulate-") as folder:
        async with own_controller(args, scenario, Path(folder)) as target:
            return await Run(str(path), scenario, target, args.seed, speed=args.speed).play()


def _remote(args: Namespace) -> Target:
    """Return the controller of ``--url``. Raises Malformed: no token, or not one."""
    if not args.tokens:
        raise Malformed("--url needs --token")
    claims = [(peek_claims(token), token) for token in args.tokens]
    tokens = {(each.sub, role): token for each, token in claims for role in each.roles}
    via = GATEWAY if any(GATEWAY in each.roles for each, _ in claims) else None
    domain = claims[0][0].domain
    return Target(args.url, domain, lambda user, role: token_of(tokens, user, role), via)


@asynccontextmanager
async def own_controller(
    args: Namespace, scenario: Scenario, folder: Path
) -> AsyncIterator[Target]:
    """Run a controller for one scenario, and with ``files`` the recording service too.

    Without ``files`` there is no media plane: segments are decided and announced, and encode
    nothing. A scenario may ask for the simulated one with ``media.sfu``.
    """
    plane = "simulated" if scenario.files else "none"
    settings = isolated(
        args,
        folder,
        "recordRecordingAtStart=true",
        f"media.sfu={plane}",
        f"media.mixer={plane}",
        *(f"{key}={_text(value)}" for key, value in scenario.controller.items()),
    )
    with (folder / "controller.log").open("a", encoding="utf-8") as log_file:
        logs.set_up(common.log_settings(settings), log_file)
        clock = SystemClock()
        with open_store(settings) as store:
            await _permit(store, scenario)
            async with open_broker(settings) as broker:
                parts = Parts(store, broker, media_plane(settings, clock), clock)
                async with controller(settings, parts) as running:
                    target = _own_target(settings, running.url)
                    if not scenario.files:
                        yield target
                        return
                    async with working(settings, broker, clock) as worker:
                        task = asyncio.create_task(worker.run())
                        try:
                            yield target
                        finally:
                            worker.stop()
                            await asyncio.wait([task])


def _own_target(settings: Settings, url: str) -> Target:
    folder = settings.recording.destination_path
    return Target(url, DOMAIN, lambda user, role: signed(settings, user, (role,)), files=folder)


async def _permit(store: Store, scenario: Scenario) -> None:
    for name, wished in scenario.permissions.items():
        permission = RecordingPermissions(
            RecordingType(wished.recordingType), RecordingProfile(wished.recordingProfile)
        )
        for user in users(scenario, name):
            await store.set_permission(DomainId(DOMAIN), UserId(user), permission)


def _text(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None
    if not 0.01 <= speed <= 1000:
        raise ArgumentTypeError("from 0.01 to 1000")
    return speed
