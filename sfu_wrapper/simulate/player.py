"""Plays a scenario: its calls at their times, each step with its check."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from sfu_wrapper.client import RequestRefused
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.simulate.matching import difference, fill
from sfu_wrapper.simulate.people import Guest, People, Target, people
from sfu_wrapper.simulate.report import Report, StepResult
from sfu_wrapper.simulate.scenario import Frame, Scenario, Step
from sfu_wrapper.simulate.schedule import PlannedCall, plan
from sfu_wrapper.wire.client_messages import EventMessage

PROCESSED: Final = "roomRecordingProcessed"
CLOSE_S: Final = 20.0  # the controller closes silent clients after 5 s
PROCESSING_S: Final = 120.0
SHOWN: Final = 600  # characters of a frame in a message

Json = dict[str, Any]


class Failed(Exception):
    """Unmet expectation of a step; the message names what came."""


class Ended(Exception):
    """A step of the call has failed; the steps after it are not played."""


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario that is being played.

    Attributes:
        file: its path, for the report.
        scenario: what is played.
        target: the controller.
        seed: of all random choices.
        run: part of room ids.
        speed: divisor of pauses and of the time within which calls begin.
    """

    file: str
    scenario: Scenario
    target: Target
    seed: int = 0
    run: str = "0"
    speed: float = 1.0

    async def play(self) -> Report:
        """Play all calls and return the report. Raises RecordingError: nothing could be played."""
        began = time.monotonic()
        calls = plan(self.scenario, self.seed, self.run)
        async with people(self.target) as crowd:
            plays = [Call(self, call, crowd) for call in calls]
            await asyncio.gather(*(each.play() for each in plays))
        results = tuple(result for each in plays for result in each.results)
        took_s = time.monotonic() - began
        title = self.scenario.scenario
        return Report(self.file, title, self.seed, len(calls), took_s, results)


@dataclass(slots=True)
class Call:
    """Call of a run.

    Attributes:
        run: the run.
        planned: its names and times.
        crowd: the connections.
        results: outcome of each step so far.
    """

    run: Run
    planned: PlannedCall
    crowd: People
    results: list[StepResult] = field(default_factory=list)
    _guests: dict[str, Guest] = field(default_factory=dict)
    _cursors: Counter[str] = field(default_factory=Counter)
    _turns: Counter[int] = field(default_factory=Counter)
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def play(self) -> None:
        """Play the call from its begin on."""
        await asyncio.sleep(self.planned.begin_s / self.run.speed)
        try:
            with suppress(Ended):
                await self._play_all(self.run.scenario.steps)
        finally:
            for name, guest in self._guests.items():
                if not self.run.scenario.clients[name].shared:
                    await self.crowd.disconnect(guest)

    async def _play_all(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.together:
                await self._play_together(step.together)
            elif step.steps:
                for _ in range(step.repeat):
                    await self._play_all(step.steps)
            else:
                await self._play_one(step)

    async def _play_together(self, steps: Sequence[Step]) -> None:
        played = await asyncio.gather(
            *(self._play_all([step]) for step in steps), return_exceptions=True
        )
        for outcome in played:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _play_one(self, step: Step) -> None:
        """Play a step and note its outcome. Raises Ended: it has failed."""
        code, failure, user = "", "", ""
        began = time.monotonic()
        try:
            if step.client is None:
                turn = self._turns[step.line]
                self._turns[step.line] += 1
                await asyncio.sleep(self.planned.pause_s(step, turn) / self.run.speed)
            else:
                user = self.planned.names[step.client]
                guest = await self._guest(step.client)
                began = time.monotonic()
                code = await self._act(step, guest)
        except Failed as error:
            failure = str(error)
        except RecordingError as error:
            failure = f"{step.action}: {error.code}: {error.detail}"
        took_s = time.monotonic() - began
        self.results.append(
            StepResult(step.line, self.planned.number, user, step.action, took_s, code, failure)
        )
        if failure:
            raise Ended

    async def _guest(self, name: str) -> Guest:
        """Return a client of this call; the first time, connect it."""
        async with self._connecting:
            if name not in self._guests:
                user, person = self.planned.names[name], self.run.scenario.clients[name]
                self._guests[name] = await self.crowd.guest(name, user, person)
        return self._guests[name]

    async def _act(self, step: Step, guest: Guest) -> str:
        """Carry out a step; return the code of its answer. Raises Failed, RecordingError."""
        assert step.client is not None  # noqa: S101 - the model requires it
        person = self.run.scenario.clients[step.client]
        if step.send is not None:
            return await self._send(step, guest)
        if step.event is not None:
            await self._event(step, guest, step.event, step.within)
        elif step.never is not None:
            self._never(step, guest, step.never)
        elif step.files is not None:
            await self._files(step, guest, step.files)
        elif step.frame is not None:
            await self._frame(step.frame, step.closed, guest.user, person.role)
        elif step.drop:
            self.crowd.drop(guest, person)
        elif step.disconnect:
            await self.crowd.disconnect(guest)
        else:
            await self.crowd.connect(guest, person)
        return ""

    async def _send(self, step: Step, guest: Guest) -> str:
        """Send a request and compare its answer."""
        if guest.client is None:
            raise Failed(f"cannot send {step.send}: the client is disconnected")
        payload = self._fill(step.payload)
        request_id = "" if step.id is None else self._fill(f"{step.id}-{self.planned.number}")
        try:
            answer = await guest.client.request(step.send or "", payload, request_id=request_id)
        except RequestRefused as refused:
            if refused.code == step.refused:
                return refused.code
            wanted = "an ok answer" if step.refused is None else f"the refusal {step.refused}"
            error = {"code": refused.code, "message": refused.detail, "details": refused.details}
            raise Failed(f"{step.send}: expected {wanted}, received {_shown(error)}") from None
        if step.refused is not None:
            wanted = f"the refusal {step.refused}"
            raise Failed(f"{step.send}: expected {wanted}, received {_shown(answer)}")
        self._compare(step, answer)
        return "ok"

    async def _event(self, step: Step, guest: Guest, name: str, within_s: float) -> Json:
        """Wait for the next event of a name, compare it, and return its payload."""
        key = step.client or ""
        begin = self._cursors[key]
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for number, event in self._events(guest, name, step.where, self._cursors[key]):
                        self._cursors[key] = number + 1
                        self._compare(step, event.payload)
                        return event.payload
                    await guest.news()
        except TimeoutError:
            since = [event.name for event in guest.events[begin:]]
            latest = _shown(guest.events[-1].payload) if guest.events else "no event"
            raise Failed(
                f"expected the event {name} within {within_s:g} s, received {since}, "
                f"the last: {latest}"
            ) from None

    def _never(self, step: Step, guest: Guest, name: str) -> None:
        """Fail if such an event has come."""
        for _, event in self._events(guest, name, step.where, 0):
            raise Failed(f"expected no event {name}, received {_shown(event.payload)}")

    async def _files(self, step: Step, guest: Guest, segment: int) -> None:
        """Wait until a segment is processed, and look at its files where they can be seen."""
        wanted = step.model_copy(update={"where": {"segment": segment}})
        payload = await self._event(wanted, guest, PROCESSED, max(step.within, PROCESSING_S))
        if not payload["files"]:
            raise Failed(f"expected files of segment {segment}, received {_shown(payload)}")
        folder = self.run.target.files
        for file in payload["files"] if folder is not None else ():
            found = folder / file["name"]
            size = found.stat().st_size if found.is_file() else None
            if size != file["bytes"]:
                raise Failed(f"expected {found} of {file['bytes']} bytes, found {size}")

    async def _frame(self, frame: Frame, closed: int | None, user: str, role: str) -> None:
        """Send a frame on a connection of its own, and compare the code of its close."""
        token = self.run.target.token(user, role) if frame.authenticated else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        text = frame.text if frame.size is None else "x" * frame.size
        try:
            async with (
                asyncio.timeout(CLOSE_S),
                open_socket(
                    f"{self.run.target.url}/client", additional_headers=headers, proxy=None
                ) as socket,
            ):
                with suppress(ConnectionClosed):
                    if text is not None:
                        await socket.send(text.encode() if frame.binary else text)
                    async for _ in socket:
                        pass
                code, reason = socket.close_code, socket.close_reason
        except (OSError, InvalidHandshake) as error:
            raise Failed(f"expected close {closed}, received {error}") from error
        except TimeoutError:
            raise Failed(f"expected close {closed} within {CLOSE_S:g} s") from None
        if code != closed:
            raise Failed(f"expected close {closed}, received close {code} {reason!r}")

    def _events(
        self, guest: Guest, name: str, where: Json | None, begin: int
    ) -> Iterator[tuple[int, EventMessage]]:
        """Yield the events of this call by name, with their places, from ``begin`` on."""
        rooms = {self.planned.names[each] for each in self.run.scenario.rooms}
        wanted = self._fill(where or {})
        for number in range(begin, len(guest.events)):
            event = guest.events[number]
            if event.name != name or event.payload.get("room") not in rooms:
                continue
            if difference(wanted, event.payload) is None:
                yield number, event

    def _compare(self, step: Step, payload: Json) -> None:
        """Raise Failed if a payload differs from what the step expects."""
        found = difference(self._fill(step.expect or {}), payload)
        if found is not None:
            raise Failed(f"{step.action}: {found}, received {_shown(payload)}")

    def _fill(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        return fill(value, {**self.planned.names, "domain": self.run.target.domain})


def _shown(payload: object) -> str:
    """Return a frame for a message."""
    text = json.dumps(payload, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
