"""The HTTP server itself: methods, lengths, types, slow and rude clients, its beginning and end."""

import asyncio
import gzip
import itertools
import json
import signal
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from sfu_wrapper.gateway.rest.app import RestApp
from sfu_wrapper.gateway.shares import Proxies, read_network
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.metrics import BROKER, STORE
from tests.helpers.http import ALWAYS, SETTINGS, parse, pass_for, world

ALICE = pass_for("alice")
QUICK = replace(SETTINGS, head_s=0.3, body_s=0.3, request_s=2)


def head(method: str, path: str, **headers: object) -> bytes:
    """The beginning of a request of alice's."""
    given = {"Host": "x", "Authorization": f"Bearer {ALICE}", "Connection": "close"} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def put(**headers: object) -> bytes:
    """The beginning of a request to set alice's permission."""
    return head("PUT", "/permissions", Content_Type="application/json", **headers)


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server ends the connection, however it does."""
    found = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while chunk := await reader.read(65_536):
                found += chunk
    return found


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/permissions", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/permissions/domain/example", "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", "/permissions/domain/example/user/bob", "DELETE, GET, HEAD, PUT"),
        ("DELETE", "/rooms", "GET, HEAD"),
        ("PUT", "/permissions/effective", "GET, HEAD"),
        ("TRACE", "/health/live", "GET, HEAD"),
        ("BREW", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_there_are(method: str, path: str, allow: str) -> None:
    async with world() as here:
        answer = await here.ask(method, path, ALICE)

    assert (answer.status, answer.code) == (405, "UNKNOWN_ENDPOINT")
    assert answer.headers["allow"] == allow


async def test_nothing_is_where_nothing_is() -> None:
    async with world() as here:
        answers = [
            await here.ask("GET", path, ALICE)
            for path in ("/nothing", "/docs", "/permission", "/rooms/a/b")
        ]

    assert {(answer.status, answer.code) for answer in answers} == {(404, "UNKNOWN_ENDPOINT")}


async def test_head_is_get_without_the_body() -> None:
    async with world() as here:
        get = await here.ask("GET", "/rooms", ALICE)
        only = await here.ask("HEAD", "/rooms", ALICE)

    assert (only.status, only.body) == (200, b"")
    assert only.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*, text/plain"])
async def test_who_wants_no_json_gets_none(accept: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", "/rooms", ALICE, headers={"Accept": accept})

    assert (answer.status, answer.code) == (406, "BAD_REQUEST")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_type_is_not_read(headers: dict[str, str]) -> None:
    body = json.dumps(ALWAYS).encode()
    packed = gzip.compress(body) if "Content-Encoding" in headers else body
    async with world() as here:
        answer = await here.ask("PUT", "/permissions", ALICE, packed, headers)
        got = await here.ask("GET", "/permissions", ALICE)

    assert (answer.status, answer.code, got.status) == (415, "BAD_REQUEST", 404)


async def test_utf8_may_be_said() -> None:
    async with world() as here:
        answer = await here.ask(
            "PUT",
            "/permissions",
            ALICE,
            ALWAYS,
            {"Content-Type": "Application/JSON; Charset=UTF-8"},
        )

    assert answer.status == 201


@pytest.mark.parametrize("size", [65_537, 1_000_000, 10 * 1024 * 1024])
async def test_a_body_that_is_too_long_is_refused_and_the_server_goes_on(size: int) -> None:
    async with world() as here:
        answer = await here.ask("PUT", "/permissions", ALICE, b"[" + b" " * size)
        got = await here.ask("GET", "/permissions", ALICE)

    assert (answer.status, answer.code, got.status) == (413, "BAD_REQUEST", 404)


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = json.dumps(ALWAYS).encode()
    async with world() as here:
        answer = await here.ask("PUT", "/permissions", ALICE, body + b" " * (65_536 - len(body)))

    assert answer.status == 201


async def test_a_chunked_body_without_end_is_cut() -> None:
    async with world(replace(QUICK, discard_bytes=200_000)) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(put(Transfer_Encoding="chunked"))
        for _ in range(30):
            writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        answer = parse(await read_to_the_end(reader))
        writer.close()

    assert (answer.status, answer.code) == (413, "BAD_REQUEST")


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async with world(QUICK) as here:
        answer = await here.raw(put(Content_Length=70) + b'{"recording"')

    assert (answer.status, answer.code) == (408, "BAD_REQUEST")


async def test_a_client_that_leaves_in_the_middle_changes_nothing() -> None:
    async with world() as here:
        _, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(put(Content_Length=70) + b'{"recording"')
        await here.ask("GET", "/health/live")
        writer.close()
        counted = 'method="PUT",route="/permissions",status="400"'
        async with asyncio.timeout(20):
            while counted not in (await here.ask("GET", "/metrics")).body.decode():
                pass
        got = await here.ask("GET", "/permissions", ALICE)

    assert got.status == 404


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET /rooms HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_trickles_in_is_cut(sent: bytes) -> None:
    async with world(QUICK) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(sent)
        answered = await read_to_the_end(reader)
        writer.close()

    assert answered == b""


async def test_a_second_request_that_trickles_in_is_cut_too() -> None:
    async with world(QUICK) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(head("GET", "/health/live", Connection="keep-alive") * 2 + b"GET /rooms HT")
        answered = await read_to_the_end(reader)
        writer.close()

    assert answered.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /rooms HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http_is_refused_and_the_server_goes_on(request_bytes: bytes) -> None:
    async with world(QUICK) as here:
        try:
            status = (await here.raw(request_bytes)).status
        except (ConnectionError, ValueError, IndexError):
            status = 400  # cut without a word
        alive = await here.ask("GET", "/health/live")

    assert (status, alive.status) == (400, 200)


async def test_the_oldest_connections_without_a_request_make_room_for_new_ones() -> None:
    few = replace(SETTINGS, max_connections=5, max_requests=2, head_s=60)
    async with world(few) as here:
        where = here.server.host, here.server.port
        silent = [await asyncio.open_connection(*where) for _ in range(3)]
        halves = [await asyncio.open_connection(*where) for _ in range(3)]
        for _, writer in halves:
            writer.write(b"GET /rooms HTTP/1.1\r\nHost: x\r\n")
        answers = [await here.ask("GET", path) for path in ("/health/live", "/metrics")]

        assert [answer.status for answer in answers] == [200, 200]
        assert [await read_to_the_end(reader) for reader, _ in silent] == [b"", b"", b""]
        for _, writer in (*silent, *halves):
            writer.close()


async def test_a_connection_between_two_requests_makes_room_too() -> None:
    few = replace(SETTINGS, max_connections=5, max_requests=2, head_s=60)
    async with world(few) as here:
        kept = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
            writer.write(head("GET", "/health/live", Connection="keep-alive"))
            assert await reader.readuntil(b"}") != b""
            kept.append((reader, writer))
        answer = await here.ask("GET", "/health/live")

        assert answer.status == 200
        assert await read_to_the_end(kept[0][0]) == b""
        for _, writer in kept:
            writer.close()


async def test_health_and_metrics_answer_while_all_places_for_requests_are_taken() -> None:
    few = replace(SETTINGS, max_connections=9, max_requests=2, body_s=60, stop_s=0.3)
    async with world(few) as here:
        slow = [await asyncio.open_connection(here.server.host, here.server.port) for _ in range(2)]
        for _, writer in slow:
            writer.write(put(Content_Length=70) + b'{"recording"')
        async with asyncio.timeout(20):
            while (refused := await here.ask("GET", "/permissions", ALICE)).status != 503:
                pass
        answers = [await here.ask("GET", path) for path in ("/health/ready", "/metrics")]
        for _, writer in slow:
            writer.close()
        async with asyncio.timeout(20):
            while (await here.ask("GET", "/permissions", ALICE)).status == 503:
                pass

    assert (refused.code, refused.headers["retry-after"]) == ("OVERLOADED", "1")
    assert [answer.status for answer in answers] == [200, 200]


async def test_one_user_has_few_bodies_under_way_and_others_have_theirs() -> None:
    async with world(replace(SETTINGS, body_s=60, stop_s=0.3)) as here:
        where = here.server.host, here.server.port
        slow = [await asyncio.open_connection(*where) for _ in range(9)]
        for _, writer in slow:
            writer.write(put(Content_Length=70) + b'{"recording"')
        refused, pending = await asyncio.wait(
            [asyncio.create_task(read_to_the_end(reader)) for reader, _ in slow],
            timeout=20,
            return_when=asyncio.FIRST_COMPLETED,
        )
        other = await here.ask("PUT", "/permissions", pass_for("bob"), ALWAYS)
        for _, writer in slow:
            writer.close()
        await asyncio.wait(pending)
        again = await here.ask("PUT", "/permissions", ALICE, ALWAYS)

    assert [parse(task.result()).status for task in refused] == [429]
    assert (other.status, again.status) == (201, 201)


async def test_an_address_has_its_share_of_connections_and_a_proxy_has_none() -> None:
    few = replace(SETTINGS, max_connections_per_address=3, head_s=60)
    for proxies, served in ((Proxies(), 3), (Proxies([read_network("127.0.0.0/8")]), 5)):
        async with world(replace(few, proxies=proxies)) as here:
            where = here.server.host, here.server.port
            held = []
            for number in range(5):
                reader, writer = await asyncio.open_connection(*where)
                held.append(writer)
                writer.write(head("GET", "/health/live", Connection="keep-alive"))
                answered = await read_some(reader)
                assert bool(answered) is (number < served)
            _, other = await asyncio.open_connection(*where, local_addr=("127.0.0.2", 0))
            other.write(head("GET", "/health/live"))
            assert await read_some(_) != b""
            for writer in (*held, other):
                writer.close()


async def read_some(reader: asyncio.StreamReader) -> bytes:
    """The first that comes; nothing where the connection is cut."""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            return await reader.read(65_536)
    return b""


async def test_health_says_what_is_away_without_a_token() -> None:
    async with world() as here:
        fine = await here.ask("GET", "/health/ready")
        here.health.report(BROKER, False)
        degraded = await here.ask("GET", "/health/ready")
        here.health.report(STORE, False)
        lost = await here.ask("GET", "/health/ready")
        live = await here.ask("GET", "/health/live")

    assert (fine.status, fine.json["status"]) == (200, "ok")
    assert (degraded.status, degraded.json["status"]) == (200, "degraded")
    assert degraded.json["parts"]["broker"]["state"] == "away"
    assert degraded.json["parts"]["store"]["state"] == "ok"
    assert (lost.status, lost.json["status"]) == (503, "unavailable")
    assert (live.status, live.json) == (200, {"status": "ok"})


async def test_a_controller_that_drains_is_not_ready() -> None:
    async with world() as here:
        here.health.drain()
        answer = await here.ask("GET", "/health/ready")

    assert (answer.status, answer.json["draining"]) == (503, True)


async def test_metrics_name_routes_and_nobody() -> None:
    async with world() as here:
        await here.ask("GET", "/rooms/secret-room", ALICE)
        await here.ask("GET", "/no/such/thing", ALICE)
        await here.ask("BREW", "/rooms", ALICE)
        answer = await here.ask("GET", "/metrics")

    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'http_requests_total{method="GET",route="/rooms/{id}",status="404"} 1.0' in text
    assert 'http_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'http_requests_total{method="other",' in text
    assert "secret" not in text
    assert "alice" not in text


async def test_those_who_ask_for_metrics_all_the_time_share_few_renderings() -> None:
    renderings = itertools.count(1)
    async with world() as here:
        here.metrics.watch("renderings", "Renderings so far", lambda: next(renderings))
        began_s = time.monotonic()
        answers = [await here.ask("GET", "/metrics") for _ in range(60)]
        took_s = time.monotonic() - began_s

    assert all(b"sfu_wrapper_renderings" in answer.body for answer in answers)
    assert next(renderings) - 1 <= 5 + took_s + 1


async def test_metrics_are_of_the_moment_for_one_who_asks_now_and_then() -> None:
    readings = itertools.count(1)
    async with world() as here:
        here.metrics.watch("readings", "Readings so far", lambda: next(readings))
        answers = [await here.ask("GET", "/metrics") for _ in range(3)]

    assert [f"_readings {n}.0".encode() in a.body for n, a in enumerate(answers, 1)] == [True] * 3


async def test_the_description_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []
    openapi = RestApp.openapi

    def count(app: RestApp) -> dict[str, object]:
        rendered.append(app)
        return openapi(app)

    monkeypatch.setattr(RestApp, "openapi", count)
    async with world() as here:
        answers = [await here.ask("GET", "/openapi.json") for _ in range(3)]

    assert len({answer.body for answer in answers}) == len(rendered) == 1


async def test_answers_are_kept_by_nobody_and_taken_for_what_they_are() -> None:
    async with world() as here:
        for path in ("/rooms", "/nothing", "/health/live"):
            answer = await here.ask("GET", path, ALICE)

            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    async with world(replace(SETTINGS, stop_s=20)) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        body = json.dumps(ALWAYS).encode()
        writer.write(put(Content_Length=len(body)))
        await here.ask("GET", "/health/live")
        asyncio.get_running_loop().call_later(0.3, writer.write, body)
    async with asyncio.timeout(20):
        answer = parse(await reader.read())
    writer.close()

    assert answer.status == 201


async def test_who_does_not_come_to_an_end_is_cut_at_the_end() -> None:
    patient = replace(SETTINGS, head_s=60, body_s=60, request_s=60)
    async with asyncio.timeout(30), world(replace(patient, stop_s=0.3)) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(put(Content_Length=9))
        await here.ask("GET", "/health/live")
    answered = await read_to_the_end(reader)
    writer.close()

    assert answered == b""


async def test_signals_keep_their_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with world():
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert during == before


async def test_an_address_that_is_taken_is_said() -> None:
    async with world() as here:
        with pytest.raises(Unavailable, match=f"port {here.server.port}"):
            async with world(replace(SETTINGS, port=here.server.port)):
                pass


async def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(Unavailable, match="cannot listen on"):
        async with world(replace(SETTINGS, host="203.0.113.1")):
            pass


async def test_it_listens_on_ipv6_too() -> None:
    async with world(replace(SETTINGS, host="::1")) as here:
        answer = await here.ask("GET", "/health/live")

    assert answer.status == 200
    assert here.server.url == f"http://[::1]:{here.server.port}"


async def test_a_long_body_is_read_in_pieces_with_others_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    receive = H11Protocol.data_received

    def note(connection: H11Protocol, data: bytes) -> None:
        sizes.append(len(data))
        receive(connection, data)

    monkeypatch.setattr(H11Protocol, "data_received", note)
    async with world() as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        body = b"x" * 2_000_000
        writer.write(put(Content_Length=len(body)) + body)
        answer = await read_to_the_end(reader)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 413")
    assert sum(sizes) > 2_000_000
    assert max(sizes) <= 16_384
