"""Browser media at Janus: the requests that Janus gets, its refusals and its outages."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    FeedPublished,
    FeedUnpublished,
    IceCandidate,
    LineLost,
    LineRequest,
    MediaLost,
    Mix,
    Mute,
    Outcome,
    Publish,
    Subscribe,
    Trickle,
    Unpublish,
    Unsubscribe,
)
from tests.helpers.browserlines import ALICE, BOB, Bench
from tests.helpers.fakejanus import Json
from tests.helpers.janusrooms import JanusRooms, janus_with_rooms, refusal
from tests.helpers.sdp import AUDIO_SDP, VIDEO_SDP

CAMERA, AUDIO_OF_ALICE = Track(ALICE, Stream.CAMERA), Track(ALICE, Stream.AUDIO)
EVERY_ASK: tuple[LineRequest, ...] = (
    Publish(Stream.CAMERA, VIDEO_SDP),
    Publish(Stream.CAMERA, VIDEO_SDP),
    Publish(Stream.SCREEN, VIDEO_SDP),
    Publish(Stream.SCREEN, VIDEO_SDP),
    Mix(AUDIO_SDP),
    Mute(True),
    Subscribe(Track(BOB, Stream.CAMERA)),
    Accept(Track(BOB, Stream.CAMERA), VIDEO_SDP),
    Trickle(CAMERA, IceCandidate("candidate:1", "0", 0)),
    Trickle(CAMERA, IceCandidate("candidate:1", None, None)),
    Trickle(CAMERA, None),
    Unsubscribe(Track(BOB, Stream.CAMERA)),
    Unpublish(Stream.SCREEN),
    Unpublish(Stream.CAMERA),
)


@pytest.fixture
async def janus() -> AsyncIterator[JanusRooms]:
    async with janus_with_rooms() as janus:
        yield janus


@asynccontextmanager
async def carried(janus: JanusRooms, *, mixes: bool = True) -> AsyncIterator[Bench]:
    media = JanusBrowsers(janus.address, mixes=mixes)
    running = asyncio.create_task(media.run())
    try:
        yield Bench(media, janus.stop, janus.start)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def bench(janus: JanusRooms) -> AsyncIterator[Bench]:
    async with carried(janus) as bench:
        yield bench


def code(outcome: Outcome) -> str | None:
    return outcome.code if isinstance(outcome, Refused) else None


def handle_of(janus: JanusRooms, request: str) -> int:
    """Return the handle that sent the last request of a kind."""
    asked = [each for each in janus.heard if each.get("body", {}).get("request") == request]
    return int(asked[-1]["handle_id"])


async def test_requests_to_janus_have_exactly_these_fields(janus: JanusRooms, bench: Bench) -> None:
    bob, alice = await bench.line(BOB), await bench.line(ALICE)
    await bob.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await alice.told(FeedPublished(Track(BOB, Stream.CAMERA)))
    for line_request in EVERY_ASK:
        outcome = await alice.request(line_request)
        assert outcome is None or isinstance(outcome, str), line_request

    shapes = {
        (message["body"]["request"], *sorted(message["body"].keys() - {"request"}))
        for message in janus.heard
        if message["janus"] == "message"
    }
    assert shapes == {
        ("join", "display", "id", "ptype", "room"),
        ("join", "ptype", "room", "streams"),
        ("join", "display", "id", "room"),
        ("configure", "muted"),
        ("publish",),
        ("unpublish",),
        ("start",),
    }
    kinds = {message["janus"] for message in janus.heard}
    assert kinds <= {"create", "attach", "detach", "message", "trickle", "keepalive"}


async def test_a_browser_publishes_under_fresh_ids(janus: JanusRooms, bench: Bench) -> None:
    for _ in range(2):
        await (await bench.line(ALICE)).request(Mix(AUDIO_SDP))

    ids = [body["id"] for body in janus.asked("join")]
    assert len(set(ids)) == 4
    assert all(each.startswith("p-alice~") for each in ids)


async def test_a_line_waits_for_a_room_that_is_being_created(
    janus: JanusRooms, bench: Bench
) -> None:
    janus.rooms.clear()
    alice = await bench.line(ALICE)
    await janus.until(lambda: len(janus.asked("join")) > 1)
    janus.rooms.add("room-1")

    assert str(await alice.request(Mix(AUDIO_SDP))).startswith("v=0")


async def test_a_room_that_is_never_created_ends_the_line(
    janus: JanusRooms, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu_wrapper.adapters.janus.webrtc_session._BACKOFF", Backoff(0.01, 0.01))
    monkeypatch.setattr("sfu_wrapper.adapters.janus.webrtc_session._RETRIES", 1)
    janus.rooms.clear()
    alice = await bench.line(ALICE)
    outcome = alice.request(Mix(AUDIO_SDP))

    assert isinstance(await outcome, Unavailable)
    await alice.told(MediaLost())


async def test_a_refusal_by_janus_is_reported_and_affects_no_other_request(
    janus: JanusRooms,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    alice = await bench.line(ALICE)
    monkeypatch.setattr(janus, "_bridge", lambda _: (refusal(499), None))
    assert code(await alice.request(Mix(AUDIO_SDP))) == Code.MEDIA_FAILED
    monkeypatch.setattr(janus, "_bridge", lambda _: ({"audiobridge": "event"}, None))
    assert code(await alice.request(Mix(AUDIO_SDP))) == Code.MEDIA_FAILED  # no description in it
    monkeypatch.undo()

    assert str(await alice.request(Mix(AUDIO_SDP))).startswith("v=0")
    assert "janus.webrtcRefused" in caplog.messages


@pytest.mark.parametrize(("number", "said"), [(428, Code.NOT_FOUND), (499, Code.MEDIA_FAILED)])
async def test_a_feed_that_has_just_ended_is_not_found(
    janus: JanusRooms, bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, said: Code
) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    await bob.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await alice.told(FeedPublished(Track(BOB, Stream.CAMERA)))
    monkeypatch.setattr(janus, "_room", lambda *_: (refusal(number), None))

    assert code(await alice.request(Subscribe(Track(BOB, Stream.CAMERA)))) == said


async def test_a_failed_unpublish_of_the_camera_is_reported(
    janus: JanusRooms, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    monkeypatch.setattr(janus, "_room", lambda *_: (refusal(499), None))

    assert code(await alice.request(Unpublish(Stream.CAMERA))) == Code.MEDIA_FAILED


async def test_a_connection_that_janus_hangs_up_is_reported(
    janus: JanusRooms, bench: Bench
) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Mix(AUDIO_SDP))
    handle = handle_of(janus, "configure")
    await janus.send({"janus": "hangup", "sender": handle, "reason": "ICE failed"})

    await alice.told(LineLost(AUDIO_OF_ALICE))
    await janus.send({"janus": "media", "sender": handle, "receiving": True})
    assert str(await alice.request(Mix(AUDIO_SDP))).startswith("v=0")


async def test_a_room_that_is_destroyed_loses_the_line(janus: JanusRooms, bench: Bench) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await janus.emit(handle_of(janus, "publish"), {"videoroom": "destroyed"})

    await alice.told(MediaLost())


async def test_events_about_unknown_publishers_and_oneself_are_ignored(
    janus: JanusRooms, bench: Bench
) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    handle = handle_of(janus, "publish")
    strangers: list[Json] = [
        {"publishers": [{"id": 7}, {"id": "monitor"}, {"id": "p-alice~old"}, "x"]},
        {"publishers": "nobody"},
        {"unpublished": "p-bob"},
        {"leaving": 9},
        {"publishers": [{"id": "p-bob~new"}]},
        {"leaving": "p-bob~old"},
    ]
    for each in strangers:
        await janus.emit(handle, each)
    await alice.told(FeedPublished(Track(BOB, Stream.CAMERA)))
    await janus.emit(handle, {"kicked": "p-bob~new"})
    await alice.told(FeedUnpublished(Track(BOB, Stream.CAMERA)))

    assert len(alice.news) == 2


async def test_with_another_mixer_janus_offers_no_audio(janus: JanusRooms) -> None:
    async with carried(janus, mixes=False) as bench:
        assert code(await (await bench.line(ALICE)).request(Mix(AUDIO_SDP))) == Code.NOT_FOUND


async def test_a_browser_with_too_many_requests_is_refused(bench: Bench) -> None:
    alice = await bench.line(ALICE)
    outcomes: list[Outcome] = []
    for _ in range(100):
        alice.line.request(Unpublish(Stream.SCREEN), outcomes.append)

    assert len([each for each in outcomes if isinstance(each, Unavailable)]) == 36


async def test_connections_of_a_browser_are_limited(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu_wrapper.adapters.janus.webrtc_session._LEGS", 1)
    alice = await bench.line(ALICE)

    assert isinstance(await alice.request(Mix(AUDIO_SDP)), Unavailable)


async def test_a_hanging_janus_ends_the_lines_of_all_browsers(janus: JanusRooms) -> None:
    media = JanusBrowsers(janus.impatient)
    running = asyncio.create_task(media.run())
    alice = await Bench(media, janus.stop, janus.start).line(ALICE)
    await alice.request(Mix(AUDIO_SDP))
    janus.silent = True

    assert isinstance(await alice.request(Mix(AUDIO_SDP)), Unavailable)
    await alice.told(MediaLost())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_bug_in_one_line_affects_no_other_line(
    janus: JanusRooms,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    await bob.request(Mix(AUDIO_SDP))
    monkeypatch.setattr("sfu_wrapper.adapters.janus.webrtc_session._offer", lambda _: 1 / 0)
    alice.line.request(Mix(AUDIO_SDP), lambda _: None)
    await alice.told(MediaLost())
    monkeypatch.undo()

    assert str(await bob.request(Mix(AUDIO_SDP))).startswith("v=0")
    assert "janus.webrtcFailed" in caplog.messages
