"""The AsyncAPI document as served: complete, valid, and true of what is really sent."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema_rs
import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.model.media import Medium
from sfu_wrapper.wire import deletion_messages, job_results, recording_info, signaling
from sfu_wrapper.wire.asyncapi import BrokerNames, asyncapi
from sfu_wrapper.wire.client_models import EVENTS
from tests.helpers.calls import ALWAYS
from tests.helpers.http import world
from tests.helpers.live import Live, live, token
from tests.helpers.results import DONE, LOST, publish, recorded
from tests.helpers.wait import until

TOP = Path(__file__).parents[2]
MISSING = 3  # exit code where node, npm or the packages cannot be had
Json = dict[str, Any]

PARSER = """
import { Parser } from "@asyncapi/parser";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const { document, diagnostics } = await new Parser().parse(text);
const wrong = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
console.log(JSON.stringify({
  version: document?.version(),
  operations: document?.operations().all().map((each) => each.id()),
  wrong: wrong.map(({ message, path }) => `${path.join(".")}: ${message}`),
}));
"""


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi("0", BrokerNames("sfu_wrapper.events", {"processed": ("processed_queue",)}))


def message(document: Json, channel: str, name: str) -> Json:
    """The schema of the payload of a message, which finds the others."""
    found = document["components"]["messages"][f"{channel}.{name}"]
    schema: Json = {**found["payload"], "components": document["components"]}
    return schema


def check(document: Json, channel: str, frame: Json, name: str = "") -> str:
    """Compare a frame of a WebSocket, or a message of a routing key, with its schema."""
    name = name or name_of(frame)
    validator = jsonschema_rs.Draft7Validator(message(document, channel, name))
    wrong = [f"{list(each.instance_path)}: {each.message}" for each in validator.iter_errors(frame)]
    assert wrong == [], (channel, name, frame)
    return name


def name_of(frame: Json) -> str:
    match frame:
        case {"type": "request", "payload": {"endpoint": endpoint}}:
            return str(endpoint)
        case {"type": "response", "payload": {"endpoint": endpoint, "status": "ok"}}:
            return f"{endpoint}.response"
        case {"type": "response"}:
            return "error"
        case {"type": "event", "payload": {"event": event}}:
            return str(event)
    return str(frame["type"])


def test_it_has_every_endpoint_event_and_message(document: Json) -> None:
    messages = set(document["components"]["messages"])
    client = {f"client.{name}" for name in (*signaling.ENDPOINTS, *EVENTS, "error")}
    answers = {f"client.{name}.response" for name in signaling.ENDPOINTS}
    keys = {
        key for module in (recording_info, job_results, deletion_messages) for key in module.SCHEMAS
    }
    assert client | answers | {f"broker.{key}.{key}" for key in keys} <= messages


def test_every_routing_key_of_the_docs_is_a_channel(document: Json) -> None:
    text = (TOP / "docs/reference/events.md").read_text(encoding="utf-8")
    table = text.partition("## Routing keys")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {
        key if not key.startswith("…") else f"roomRecording{key[1:]}"
        for row in rows
        for key in re.findall(r"`([^`]+)`", row)
    }
    channels = {each["address"] for each in document["channels"].values()}
    assert len(named) == 10
    assert named <= channels


async def test_it_is_served_with_the_configured_names() -> None:
    async with live("processed_queue=results") as here:
        reader = await asyncio.to_thread(_fetched, f"{here.http_url}/asyncapi.json")
    served = json.loads(reader)
    assert served["asyncapi"] == "3.0.0"
    assert "results, sfu_wrapper.index" in served["channels"]["broker.processed"]["description"]
    amqp = served["channels"]["broker.processed"]["bindings"]["amqp"]
    assert amqp["exchange"]["name"] == "sfu_wrapper.events"


def _fetched(url: str) -> bytes:
    with urlopen(url, timeout=20) as answer:  # loopback
        return bytes(answer.read())


async def test_it_needs_no_token_and_other_methods_are_refused() -> None:
    async with world() as here:
        assert (await here.ask("GET", "/asyncapi.json")).status == 200
        assert (await here.ask("POST", "/asyncapi.json")).status == 405


async def test_what_a_session_sends_is_as_described(document: Json) -> None:
    seen: set[str] = set()
    plane = MemoryPlane()
    async with live(plane=plane) as here:
        made = await recorded(here)
        await publish(here.broker, "failed", LOST)
        await made.service.event("roomRecordingProcessingFailed")
        await publish(here.broker, "processed", DONE)
        await made.service.event("roomRecordingProcessed")
        for peer_frames in (made.service.received, made.owner.received, made.other.received):
            seen |= {check(document, "client", frame) for frame in peer_frames}
        seen |= await _watched(here, document)
        seen |= await _everything_else(here, plane, document)
        for each in here.broker.published:
            body = json.loads(each.body)
            check(document, f"broker.{each.routing_key}", body, each.routing_key)
        keys = {each.routing_key for each in here.broker.published}

    assert {"error", "joinRoom.response", "roomChanged", "recordingChanged"} <= seen
    assert {"roomRecordingProcessed", "roomRecordingProcessingFailed", "roomEstablished"} <= seen
    assert {"recordingInfo", "roomRecordingStarted", "roomRecordingStopped", "processed"} <= keys


async def _everything_else(here: Live, plane: MemoryPlane, document: Json) -> set[str]:
    """Pause, refusals, a failed start, a meeting that ends."""
    await here.permit("alice", ALWAYS)
    service = await here.service()
    room = {"id": "other", "kind": "meeting", "owner": "alice", "domain": "example"}
    await service.ok("createRoom", room | {"record": False})
    alice, bob = await here.client("alice"), await here.client("bob")
    await alice.ok("joinRoom", {"room": "other", "check": True})
    await alice.ok("joinRoom", {"room": "other", "media": {"audio": True}})
    await bob.ok("joinRoom", {"room": "other"})
    await alice.ok("startRoomRecording", {"room": "other"})
    await alice.ok("stopRoomRecording", {"room": "other", "resumeAfterSeconds": 60})
    await alice.ok("stopRoomRecording", {"room": "other"})
    for medium in Medium:
        plane.behave(medium, "start", Behaviour.REFUSE)
    await alice.refused("startRoomRecording", {"room": "other"})
    await bob.refused("startRoomRecording", {"room": "other"})
    frames = [*alice.received, *bob.received, *service.received]
    return {check(document, "client", frame) for frame in frames}


async def _watched(here: Live, document: Json) -> set[str]:
    """Everything that a client asks and gets which watches, and acts on a room of its own."""
    admin = await here.client("admin", "domain-admin")
    service = await here.service()
    await admin.ok("watch", {"topics": ["rooms", "recordings"]})
    owner = await here.client("carol")
    await here.permit("carol", ALWAYS)
    await owner.ok("createRoom", {"id": "mine", "kind": "meeting"})
    await owner.ok("inviteToRoom", {"room": "mine", "users": ["bob"]})
    await owner.ok("joinRoom", {"room": "mine"})
    await owner.ok("updateMedia", {"room": "mine", "media": {"video": True}})
    await owner.ok("startRoomRecording", {"room": "mine"})
    await owner.ok("stopRoomRecording", {"room": "mine"})
    await owner.ok("getRoom", {"room": "mine"})
    await owner.ok("ping")
    await service.ok("listRooms")
    await owner.ok("leaveRoom", {"room": "mine"})
    await admin.event("roomChanged")
    await admin.event("recordingChanged")
    await admin.ok("unwatch")
    renewed = await owner.ok("authenticate", {"token": token("carol")})
    assert renewed["user"] == "carol"
    frames = [*admin.received, *owner.received, *service.received]
    return {check(document, "client", frame) for frame in frames}


async def test_what_a_gateway_sends_and_gets_is_as_described(document: Json) -> None:
    async with live() as here:
        gateway = await here.gateway()
        client = await gateway.client("alice")
        await client.refused("getRoom", {"room": "none"})
        await gateway.send({"type": "message", "socketId": "x" * 200, "data": ""})
        await gateway.send({"type": "authenticate", "token": token("gateway-1", "gateway")})
        wanted = {"error", "authenticated"}
        await until(lambda: wanted <= {frame["type"] for frame in gateway.frames})
    seen = {check(document, "gateway", frame) for frame in gateway.frames}
    assert seen == {"message", "error", "authenticated"}


def _examples(page: str) -> Iterator[Json]:
    """The JSON values in the code blocks of a page."""
    text = (TOP / "docs/reference" / page).read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        rest = block.strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            yield value
            rest = rest[end:].strip()


def test_the_examples_of_the_protocol_are_as_described(document: Json) -> None:
    checked = 0
    for frame in _examples("protocol.md"):
        frames = "gateway" if frame["type"] not in ("request", "response", "event") else "client"
        check(document, frames, frame)
        checked += 1
    assert checked > 15


def test_the_examples_of_messages_are_as_described(document: Json) -> None:
    checked = 0
    for body in _examples("events.md"):
        match body:
            case {"recordingInfo": _}:
                key = "recordingInfo"
            case {"status": str(status)}:
                key = status
            case {"type": "progress"}:
                key = "progress"
            case {"stoppedAt": _}:
                key = "roomRecordingStopped"
            case {"startedAt": _}:
                key = "roomRecordingStarted"
            case _:
                key = "roomEnded"
        check(document, f"broker.{key}", body, key)
        checked += 1
    assert checked >= 9


def test_a_frame_that_differs_is_noticed(document: Json) -> None:
    wrong = {"type": "event", "payload": {"event": "participantLeft", "payload": {"room": 7}}}
    with pytest.raises(AssertionError, match="participantLeft"):
        check(document, "client", wrong)


@pytest.mark.system
@pytest.mark.timeout(240)
def test_the_parser_of_asyncapi_finds_nothing_wrong(document: Json) -> None:
    done = subprocess.run(
        ["scripts/check-javascript"], cwd=TOP, capture_output=True, text=True, check=False
    )
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip())
    node = shutil.which("node")
    assert node is not None
    parsed = subprocess.run(
        [node, "--input-type=module", "--eval", PARSER],
        cwd=TOP / ".tools" / "javascript",
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(parsed.stdout)
    assert found["wrong"] == []
    assert found["version"] == "3.0.0"
    assert "client.startRoomRecording" in found["operations"]
