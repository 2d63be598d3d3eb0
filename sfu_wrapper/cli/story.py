"""Call of ``sfu-wrapper demo``: the actions of its participants, over real WebSockets.

Acts as client and narrates; the controller alone decides about recording.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from sfu_wrapper.cli.caller import Caller, Json, RequestRefused, calling

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan")
DOMAIN = "example"
MEDIA: Json = {"audio": True, "video": True}

Tell = Callable[[str, str], None]


@dataclass(slots=True)
class Story:
    """Demo call: ``names[0]`` is the caller, the last one joins late, the second leaves early.

    Attributes:
        url: address of the controller's WebSocket server.
        token: returns a token for a user and its roles.
        tell: called with a participant and an action, to narrate.
        names: user ids of the participants, at least two.
        seconds: length of each of the two segments.
        room: id of the room.
        segments: responses of the stops, so far.
    """

    url: str
    token: Callable[[str, tuple[str, ...]], str]
    tell: Tell
    names: tuple[str, ...]
    seconds: float
    room: str = "demo-call"
    segments: list[Json] = field(default_factory=list)
    _callers: dict[str, Caller] = field(default_factory=dict)
    _news: list[str] = field(default_factory=list)

    async def play(self) -> str:
        """Run the call to the end and return the uuid of the room.

        Raises:
            RequestRefused, Unavailable: a step failed.
        """
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(
                calling(self.url, self.token("room-service", ("service",)), self._overheard)
            )
            for name in self.names:
                caller = calling(self.url, self.token(name, ("user",)))
                self._callers[name] = await stack.enter_async_context(caller)
            created = await service.request("createRoom", self._wish())
            self.tell("room service", f"creates the direct call {self.room!r} of {self.owner}")
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
            self.tell(other, f"presses record, and is refused: {refused.code} ({refused.detail})")
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
        told = " and is told that the call is being recorded" if active else ""
        self.tell(name, words + told)
        self._retell()

    async def _do(self, name: str, endpoint: str, words: str) -> None:
        await self._callers[name].request(endpoint, {})
        self.tell(name, words)
        self._retell()

    async def _start(self) -> None:
        answer = await self._callers[self.owner].request("startRoomRecording", {})
        number, since = answer["segment"], answer["startedAt"]
        self.tell(self.owner, f"presses record: segment {number} runs since {since}")

    async def _stop(self) -> None:
        answer = await self._callers[self.owner].request("stopRoomRecording", {})
        self.segments.append(answer)
        number, duration = answer["segment"], answer["duration"]
        self.tell(self.owner, f"presses stop: segment {number} holds {duration} s")

    def _overheard(self, name: str, payload: Json) -> None:
        """Keep an event of the controller, to narrate it after its cause."""
        if name == "roomEstablished":
            self._news.append("says that the call is established")
        elif name == "roomEnded":
            self._news.append(f"says that the room has ended ({payload['reason']})")

    def _retell(self) -> None:
        for words in self._news:
            self.tell("controller", words)
        self._news.clear()
