"""What clients and the queue receive about the segments of several rooms, compared."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.helpers.calls import events_of, reported
from tests.helpers.live import Json, Live, Peer, retry_after
from tests.helpers.wait import until

Segment = tuple[str, int]  # of the room with this uuid
ALLOWED = {"ALREADY_RECORDING", "NOT_RECORDING", "MEDIA_FAILED"}
"""Answers to a start or a stop of somebody who does not know what has just happened."""
SETTLED_S = 45.0


@dataclass(slots=True)
class Restless:
    """Actions in random order while a server is away; ``answers`` counts their outcomes."""

    dice: random.Random
    actions: Sequence[Callable[[], Awaitable[str]]]
    answers: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Act until cancelled."""
        while True:
            await asyncio.sleep(self.dice.uniform(0, 0.1))
            self.answers[await self.dice.choice(self.actions)()] += 1


async def outcome(peer: Peer, endpoint: str, payload: Json) -> str:
    """Send a request and return "ok" or the code of its error."""
    answer = await peer.ask(endpoint, payload)
    while (wait_s := retry_after(answer)) is not None:
        await asyncio.sleep(wait_s)
        answer = await peer.ask(endpoint, payload)
    return str(answer.get("error", {}).get("code", "ok"))


def segments_of(peer: Peer, event: str, room: str) -> list[int]:
    """Return the segments of a room that such events name, in order."""
    return [int(each["segment"]) for each in events_of(peer, event, room)]


async def reported_once(controller: Live, rooms: Mapping[str, Peer]) -> list[Json]:
    """Wait until each segment that was started has its recordingInfo; return them all.

    Args:
        controller: The controller.
        rooms: Rooms, each with somebody who has seen all its events.

    Raises:
        AssertionError: A segment has several, or was stopped several times.
    """
    started = {(room, each) for room, peer in rooms.items() for each in _started(peer, room)}

    def infos() -> list[Json]:
        return [info for room in rooms for info in reported(controller.broker, room)]

    def segments() -> list[Segment]:
        return [(str(info["uuid"]), int(info["segment"])) for info in infos()]

    await until(lambda: started <= set(segments()), within_s=SETTLED_S)
    assert [each for each, times in Counter(segments()).items() if times > 1] == []
    for room, peer in rooms.items():
        stopped = segments_of(peer, "roomRecordingStopped", room)
        assert sorted(stopped) == sorted(set(stopped)), room
    return infos()


def _started(peer: Peer, room: str) -> list[int]:
    return segments_of(peer, "roomRecordingStarted", room)
