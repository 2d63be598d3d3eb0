"""``/media`` over real WebSockets: where it is, who may open it, and when it is closed."""

import json
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sfu_wrapper.adapters.memory.webrtc import SDP, MemoryBrowserMedia
from sfu_wrapper.service.rooms.media_sessions import LEFT
from tests.helpers.gatewayfakes import request
from tests.helpers.live import Json, Live, live, token
from tests.helpers.sdp import AUDIO_SDP


def media(here: Live, user: str, **more: str) -> connect:
    """A connection of that user's to ``/media``."""
    header = {"Authorization": f"Bearer {token(user)}"} | more
    return connect(f"{here.url}/media", additional_headers=header, proxy=None)


async def ask(socket: ClientConnection, endpoint: str, **payload: object) -> Json:
    """The body of the next frame, which answers this."""
    await socket.send(request(endpoint, "r1", **payload))
    body: Json = json.loads(await socket.recv())["payload"]
    return body


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """How it is closed, once it is."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def test_where_nothing_real_carries_media_there_is_no_such_path() -> None:
    async with live() as here:
        with pytest.raises(InvalidStatus) as refused:
            async with media(here, "alice"):
                pass

    assert refused.value.response.status_code == 404


async def test_origins_and_tokens_count_as_everywhere() -> None:
    origins = "websocket.allowedOrigins=https://calls.test"
    async with live(origins, browsers=MemoryBrowserMedia()) as here:
        for headers, status in (
            ({"Origin": "https://evil.test"}, 403),
            ({"Authorization": "Bearer x"}, 401),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with media(here, "alice", **headers):
                    pass
            assert refused.value.response.status_code == status


async def test_media_go_on_until_the_user_leaves_the_room() -> None:
    carried = MemoryBrowserMedia()
    async with live(browsers=carried) as here:
        alice = await here.client("alice")
        await alice.ok("createRoom", {"id": "standup", "kind": "meeting"})
        async with media(here, "alice") as socket:
            assert (await ask(socket, "enter", room="standup"))["error"]["code"] == "ROOM_NOT_FOUND"
            await alice.ok("joinRoom", {"room": "standup"})
            assert (await ask(socket, "enter", room="standup"))["status"] == "ok"
            assert (await ask(socket, "mix", sdp=AUDIO_SDP))["payload"] == {"sdp": SDP}
            answer = await ask(socket, "mix", sdp=AUDIO_SDP, record=True)
            assert answer["error"]["details"] == {"path": "payload.record"}
            await alice.ok("leaveRoom", {"room": "standup"})

            assert await closed(socket) == (1008, LEFT)
        assert carried.lines == []


async def test_a_connection_that_is_lost_is_forgotten() -> None:
    carried = MemoryBrowserMedia()
    async with live(browsers=carried) as here:
        alice = await here.client("alice")
        await alice.ok("createRoom", {"id": "standup", "kind": "meeting"})
        await alice.ok("joinRoom", {"room": "standup"})
        async with media(here, "alice") as socket:
            await ask(socket, "enter", room="standup")
            assert len(carried.lines) == 1
        async with media(here, "alice") as socket:
            await ask(socket, "enter", room="standup")
            carried.lose()

            assert await closed(socket) == (1012, "the media server is unavailable")
        assert carried.lines == []


async def test_what_is_no_request_closes_as_everywhere() -> None:
    async with live(browsers=MemoryBrowserMedia()) as here:
        for message, code in ((b"x", 1003), ("no json", 1007), ("x" * 70_000, 1009)):
            async with media(here, "alice") as socket:
                await socket.send(message)
                assert (await closed(socket))[0] == code
