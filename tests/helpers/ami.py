"""Scripted Asterisk: the manager interface alone, with the exact texts of a real one.

Conferences exist while somebody is in them; what is recorded is a WAV file that grows and is whole
once it is closed, as Asterisk leaves it. Nothing here is shared with what is tested.
"""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sfu_wrapper.adapters.asterisk.ami import AmiSettings

USER, SECRET = "sfu-wrapper", "s3cret"
TICK_S = 0.05
RATE = 8000
_EPOCH = 1_795_484_530

Block = dict[str, str]

MODULES = ("app_confbridge", "app_mixmonitor", "format_wav", "app_userevent")
GOOD_CONFBRIDGE = {
    "Category-000000": "general",
    "Category-000001": "default_bridge",
    "Line-000001-000000": "type=bridge",
    "Line-000001-000001": "record_file_timestamp=no",
    "Category-000002": "default_user",
    "Line-000002-000000": "type=user",
}


@dataclass(frozen=True, slots=True)
class Leg:
    """Member of a conference."""

    channel: str
    unique_id: str
    context: str = "internal"
    exten: str = ""
    number: str = "<unknown>"

    def fields(self) -> Block:
        """Return the fields of the member in events."""
        return {
            "Channel": self.channel,
            "CallerIDNum": self.number,
            "Context": self.context,
            "Exten": self.exten,
            "Uniqueid": self.unique_id,
        }


@dataclass(slots=True)
class FakeAsterisk:
    """Scripted Asterisk; set an attribute to inject a failure.

    silent: actions that are not answered. denied: actions that the user may not do. writable: where
    False, recordings are accepted and no file is made. finishes: where False, files keep the
    header that says 0, as on a full disk. mute: no events are sent. loading: logins are taken, the
    actions of ConfBridge are not known yet. answer_s: how long clients shall wait for an answer.
    """

    folder: Path
    silent: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    writable: bool = True
    finishes: bool = True
    mute: bool = False
    loading: bool = False
    answer_s: float = 10.0
    modules: set[str] = field(default_factory=lambda: set(MODULES))
    confbridge: Block = field(default_factory=lambda: dict(GOOD_CONFBRIDGE))
    secret: str = SECRET
    banner: str = "Asterisk Call Manager/5.0.4"
    asked: list[Block] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _conferences: dict[str, dict[str, Leg]] = field(default_factory=dict)
    _bridges: dict[str, str] = field(default_factory=dict)
    _coming: set[str] = field(default_factory=set)
    _recording: dict[str, Path] = field(default_factory=dict)
    _growth: asyncio.Task[None] | None = None
    _running: asyncio.Event = field(default_factory=asyncio.Event)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def recording(self) -> bool:
        """True while any conference is recorded."""
        return bool(self._recording)

    @property
    def settings(self) -> AmiSettings:
        """Address and login."""
        return AmiSettings("127.0.0.1", self.port, USER, SECRET, self.answer_s, ping_s=0.2)

    def was_asked(self, action: str) -> bool:
        """Return True if such an action was received."""
        return any(asked["Action"] == action for asked in self.asked)

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._running.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._growth = asyncio.create_task(self._grow())

    async def kill(self) -> None:
        """Act as if killed: links break, conferences end, files stay as they are."""
        if self._server is not None:
            self._server.close()
        self.drop()
        self._conferences.clear()
        self._recording.clear()
        if self._growth is not None:
            self._growth.cancel()
            with suppress(asyncio.CancelledError):
                await self._growth
        if self._server is not None:
            await self._server.wait_closed()

    def drop(self) -> None:
        """Break the links; calls continue."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def enter(self, conference: str, leg: Leg | None = None) -> Leg:
        """Let a member enter a conference."""
        number = next(self._ids)
        leg = leg or Leg(f"PJSIP/phone-{number:08x}", f"{_EPOCH}.{number}")
        legs = self._conferences.setdefault(conference, {})
        if not legs:
            self._bridges[conference] = f"bridge-{number}"
            self._emit("ConfbridgeStart", conference)
        legs[leg.unique_id] = leg
        self._emit("ConfbridgeJoin", conference, leg.fields())
        return leg

    def leave(self, conference: str, leg: Leg) -> None:
        """Let a member leave; the last one ends the conference and its recording."""
        del self._conferences[conference][leg.unique_id]
        self._emit("ConfbridgeLeave", conference, leg.fields())
        if not self._conferences[conference]:
            del self._conferences[conference]
            self._emit("ConfbridgeEnd", conference)
            self._cease(conference)

    def announce(self, conference: str, leg: Leg, **fields: str) -> None:
        """Send the announcement of a trunk call by the dialplan."""
        self._coming.add(leg.channel)
        event = {"Event": "UserEvent", "Privilege": "user,all", "UserEvent": "IncomingTrunkCall"}
        self._send({**event, **leg.fields(), "ConferenceId": conference, **fields})

    def stop_elsewhere(self, conference: str) -> None:
        """Stop the recording as another client does."""
        self._cease(conference)

    def record_elsewhere(self, conference: str) -> None:
        """Record the conference as another client does."""
        self._begin(conference, self.folder / f"confbridge-{conference}-{_EPOCH}.wav")

    def begin(self, conference: str, file: Path) -> None:
        """Start a recording, with its event."""
        self._begin(conference, file)

    def stall(self) -> None:
        """Stop writing files, but keep answering."""
        if self._growth is not None:
            self._growth.cancel()

    def freeze(self) -> None:
        """Act as if suspended: write and answer nothing, but keep the port open."""
        self._running.clear()

    def thaw(self) -> None:
        """Resume after ``freeze``."""
        self._running.set()

    def begin_in_silence(self, conference: str, file: Path) -> None:
        """Start a recording without its event."""
        mute, self.mute = self.mute, True
        self._begin(conference, file)
        self.mute = mute

    def send(self, raw: bytes) -> None:
        """Send any message on all links."""
        for writer in self._writers:
            writer.write(raw)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self.banner}\r\n".encode())
        try:
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self._running.wait()
                action = dict(line.split(": ", 1) for line in block.strip().split("\r\n"))
                self.asked.append(action)
                if action["Action"] not in self.silent:
                    self._answer(writer, action)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, action: Block) -> None:
        name, conference = action["Action"], self._known_as(action.get("Conference", ""))
        if name in self.denied:
            return self._reply(writer, action, "Error", "Permission denied")
        if name.startswith("Confbridge") and self.loading:
            return self._reply(writer, action, "Error", "Invalid/unknown command")
        match name:
            case "Login":
                self._login(writer, action)
            case "Ping":
                self._write(writer, {"Response": "Success", **_id(action), "Ping": "Pong"})
            case "ConfbridgeStartRecord" | "ConfbridgeStopRecord":
                error = self._objection(name, conference)
                if error is not None:
                    self._reply(writer, action, "Error", error)
                elif name == "ConfbridgeStartRecord":
                    self._reply(writer, action, "Success", "Conference Recording Started.")
                    self._begin(conference, Path(action["RecordFile"]))
                else:
                    self._reply(writer, action, "Success", "Conference Recording Stopped.")
                    self._cease(conference)
            case "ConfbridgeListRooms" | "ConfbridgeList":
                self._list(writer, action, conference)
            case "Hangup" if action["Channel"] not in self._channels():
                self._reply(writer, action, "Error", "No such channel")
            case "Hangup":
                self.hung_up.append(action["Channel"])
                self._reply(writer, action, "Success", "Channel Hungup")
            case "ListCommands":
                known = {"Ping": "Keepalive command."}
                if "app_confbridge" in self.modules and not self.loading:
                    known["ConfbridgeStartRecord"] = "Start recording a Confbridge conference."
                self._write(writer, {"Response": "Success", **_id(action), **known})
            case "CoreSettings":
                version = {"AsteriskVersion": "16.28.0"}
                self._write(writer, {"Response": "Success", **_id(action), **version})
            case "ModuleCheck" if action["Module"] in self.modules:
                self._write(writer, {"Response": "Success", **_id(action), "Version": ""})
            case "ModuleCheck":
                self._reply(writer, action, "Error", "Module not loaded")
            case "GetConfig":
                self._write(writer, {"Response": "Success", **_id(action), **self.confbridge})
            case _:
                self._reply(writer, action, "Error", "Invalid/unknown command")
        return None

    def _channels(self) -> set[str]:
        legs = (leg for there in self._conferences.values() for leg in there.values())
        return self._coming | {leg.channel for leg in legs}

    def _known_as(self, conference: str) -> str:
        """Return the conference of a name, compared without case."""
        same = (name for name in self._conferences if name.lower() == conference.lower())
        return next(same, conference)

    def _login(self, writer: asyncio.StreamWriter, action: Block) -> None:
        if (action.get("Username"), action.get("Secret")) != (USER, self.secret):
            self._reply(writer, action, "Error", "Authentication failed")
            writer.close()
            return
        self._reply(writer, action, "Success", "Authentication accepted")
        self._writers.add(writer)

    def _objection(self, name: str, conference: str) -> str | None:
        if not self._conferences:
            return "No active conferences."
        if conference not in self._conferences:
            return "No Conference by that name found."
        recorded = conference in self._recording
        if name == "ConfbridgeStartRecord":
            return "Conference is already being recorded." if recorded else None
        return None if recorded else "Internal error while stopping recording."

    def _list(self, writer: asyncio.StreamWriter, action: Block, conference: str) -> None:
        error = self._objection(action["Action"], conference) if conference else None
        if not self._conferences or error in ("No Conference by that name found.",):
            self._reply(writer, action, "Error", error or "No active conferences.")
            return
        start = {"Response": "Success", **_id(action), "EventList": "start", "Message": "follow"}
        self._write(writer, start)
        name = action["Action"]
        if conference:
            entries = [leg.fields() for leg in self._conferences[conference].values()]
        else:
            entries = [{"Conference": each} for each in self._conferences]
        for entry in entries:
            conferences = {"Conference": conference} if conference else {}
            self._write(writer, {"Event": name, **_id(action), **conferences, **entry})
        self._write(writer, {"Event": f"{name}Complete", **_id(action), "EventList": "Complete"})

    def _begin(self, conference: str, file: Path) -> None:
        self._emit("ConfbridgeRecord", conference)
        if not self.writable:
            self._emit("ConfbridgeStopRecord", conference)
            return
        self._recording[conference] = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.write(_header(None))

    def _cease(self, conference: str) -> None:
        file = self._recording.pop(conference, None)
        if file is None:
            return
        self._emit("ConfbridgeStopRecord", conference)
        # As on a real one, the file is whole only a moment later.
        if self.finishes:
            asyncio.get_running_loop().call_later(0.004, _finish, file)

    async def _grow(self) -> None:
        loop = asyncio.get_running_loop()
        written_s = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            samples = round((loop.time() - written_s) * RATE)  # on a busy machine ticks are late
            written_s = loop.time()
            if self._running.is_set():
                for file in self._recording.values():
                    with file.open("ab") as out:
                        out.write(bytes(2 * samples))

    def _emit(self, event: str, conference: str, fields: Block | None = None) -> None:
        head = {"Event": event, "Privilege": "call,all", "Timestamp": f"{time.time():.6f}"}
        bridge = {"Conference": conference, "BridgeUniqueid": self._bridges.get(conference, "")}
        self._send({**head, **bridge, **(fields or {})})

    def _send(self, fields: Block) -> None:
        for writer in () if self.mute else tuple(self._writers):
            self._write(writer, fields)

    def _reply(self, writer: asyncio.StreamWriter, action: Block, kind: str, text: str) -> None:
        self._write(writer, {"Response": kind, **_id(action), "Message": text})

    def _write(self, writer: asyncio.StreamWriter, fields: Block) -> None:
        lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        writer.write(f"{lines}\r\n".encode())


@asynccontextmanager
async def asterisk(folder: Path) -> AsyncIterator[FakeAsterisk]:
    """Run a scripted Asterisk for the length of the context."""
    fake = FakeAsterisk(folder)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.kill()


def _id(action: Block) -> Block:
    return {"ActionID": action["ActionID"]} if "ActionID" in action else {}


def _header(audio_bytes: int | None) -> bytes:
    """Return a WAV header of 44 bytes; None as the size gives lengths of 0, as in an open file."""
    riff = 0 if audio_bytes is None else audio_bytes + 36
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", riff, b"WAVE")
        + form
        + struct.pack("<4sI", b"data", audio_bytes or 0)
    )


def _finish(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[:44] = _header(len(data) - 44)
    file.write_bytes(data)
