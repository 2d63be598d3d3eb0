"""What every way to the media of browsers promises: the fake, and Janus as it answers.

What a browser makes of the descriptions is seen in ``tests/acceptance/test_call_page_janus.py``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.adapters.memory.webrtc import MemoryBrowserMedia
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    FeedPublished,
    FeedUnpublished,
    IceCandidate,
    LineRequest,
    MediaLost,
    Mix,
    Mute,
    Publish,
    Subscribe,
    Trickle,
    Unpublish,
    Unsubscribe,
)
from tests.helpers.browserlines import ALICE, BOB, Bench
from tests.helpers.janusrooms import janus_with_rooms
from tests.helpers.sdp import AUDIO_SDP, VIDEO_SDP


@asynccontextmanager
async def _memory() -> AsyncIterator[Bench]:
    media = MemoryBrowserMedia()

    def back() -> None:
        media.available = True

    yield Bench(media, media.lose, back)


@asynccontextmanager
async def _janus() -> AsyncIterator[Bench]:
    async with janus_with_rooms() as janus:
        yield Bench(JanusBrowsers(janus.address), janus.stop, janus.start)


@pytest.fixture(params=["memory", "janus"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        made = _memory() if request.param == "memory" else _janus()
        bench = await stack.enter_async_context(made)
        running = asyncio.create_task(bench.media.run())
        yield bench
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_offers_are_answered_with_descriptions(bench: Bench) -> None:
    alice = await bench.line(ALICE)

    for line_request in (
        Publish(Stream.CAMERA, VIDEO_SDP),
        Publish(Stream.SCREEN, VIDEO_SDP),
        Mix(AUDIO_SDP),
    ):
        assert str(await alice.request(line_request)).startswith("v=0")


async def test_what_others_publish_is_told_to_those_who_are_there_and_who_come_later(
    bench: Bench,
) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await alice.request(Publish(Stream.SCREEN, VIDEO_SDP))
    camera, screen = Track(ALICE, Stream.CAMERA), Track(ALICE, Stream.SCREEN)

    await bob.told(FeedPublished(camera))
    await bob.told(FeedPublished(screen))
    late = await bench.line(UserId("late"))
    await late.told(FeedPublished(camera))
    await late.told(FeedPublished(screen))
    assert alice.news == []


async def test_a_publisher_may_be_silent(bench: Bench) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Mix(AUDIO_SDP, muted=True))

    assert await alice.request(Mute(False)) is None
    assert await alice.request(Mute(True)) is None


async def test_nothing_is_told_of_other_rooms(bench: Bench) -> None:
    alice, elsewhere = await bench.line(ALICE), await bench.line(BOB, "room-2")
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    late = await bench.line(UserId("late"))
    await late.told(FeedPublished(Track(ALICE, Stream.CAMERA)))

    assert elsewhere.news == []


async def test_a_feed_is_watched_with_an_offer_and_an_answer(bench: Bench) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    feed = Track(ALICE, Stream.CAMERA)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await bob.told(FeedPublished(feed))

    assert str(await bob.request(Subscribe(feed))).startswith("v=0")
    assert await bob.request(Accept(feed, VIDEO_SDP)) is None
    assert await bob.request(Trickle(feed, IceCandidate("candidate:1", "0", 0))) is None
    assert await bob.request(Trickle(feed, None)) is None
    assert await bob.request(Unsubscribe(feed)) is None
    assert await bob.request(Unsubscribe(feed)) is None


@pytest.mark.parametrize(
    "line_request",
    [
        Subscribe(Track(BOB, Stream.CAMERA)),
        Accept(Track(BOB, Stream.CAMERA), VIDEO_SDP),
        Trickle(Track(BOB, Stream.CAMERA), None),
        Trickle(Track(ALICE, Stream.SCREEN), None),
        Mute(True),
    ],
)
async def test_what_is_not_there_is_not_found(bench: Bench, line_request: LineRequest) -> None:
    outcome = await (await bench.line(ALICE)).request(line_request)

    assert isinstance(outcome, Refused)
    assert outcome.code == Code.NOT_FOUND


async def test_the_end_of_a_feed_is_told_whichever_way_it_ends(bench: Bench) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
    await alice.request(Publish(Stream.SCREEN, VIDEO_SDP))
    await bob.told(FeedPublished(Track(ALICE, Stream.SCREEN)))

    await alice.request(Unpublish(Stream.SCREEN))
    await bob.told(FeedUnpublished(Track(ALICE, Stream.SCREEN)))
    alice.line.close()
    await bob.told(FeedUnpublished(Track(ALICE, Stream.CAMERA)))


async def test_what_is_published_again_is_told_again(bench: Bench) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    feed = FeedPublished(Track(ALICE, Stream.CAMERA))
    for _ in range(2):
        await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))
        await bob.told(feed)
        bob.news.clear()
        await alice.request(Unpublish(Stream.CAMERA))
        await alice.request(Unpublish(Stream.CAMERA))
    await alice.request(Mix(AUDIO_SDP))
    await alice.request(Mix(AUDIO_SDP))


async def test_a_newer_line_of_the_same_user_replaces_the_older(bench: Bench) -> None:
    older, bob = await bench.line(ALICE), await bench.line(BOB)
    await older.request(Publish(Stream.CAMERA, VIDEO_SDP))
    newer = await bench.line(ALICE)

    await older.told(MediaLost())
    assert isinstance(await older.request(Mix(AUDIO_SDP)), Unavailable)
    assert str(await newer.request(Publish(Stream.CAMERA, VIDEO_SDP))).startswith("v=0")
    await bob.told(FeedPublished(Track(ALICE, Stream.CAMERA)))


async def test_a_closed_line_says_so_and_hears_nothing(bench: Bench) -> None:
    alice, bob = await bench.line(ALICE), await bench.line(BOB)
    await bob.request(Mix(AUDIO_SDP))
    bob.line.close()
    bob.line.close()
    await alice.request(Publish(Stream.CAMERA, VIDEO_SDP))

    assert isinstance(await bob.request(Mix(AUDIO_SDP)), Unavailable)
    assert bob.news == []


async def test_a_server_that_is_lost_is_told_and_comes_back(bench: Bench) -> None:
    alice = await bench.line(ALICE)
    await alice.request(Mix(AUDIO_SDP))
    await _done(bench.lose())
    await alice.told(MediaLost())

    assert isinstance(await alice.request(Mix(AUDIO_SDP)), Unavailable)
    await _done(bench.back())
    assert str(await (await bench.line(ALICE)).request(Mix(AUDIO_SDP))).startswith("v=0")


async def _done(result: Any) -> None:  # noqa: ANN401  # a coroutine or nothing
    if asyncio.iscoroutine(result):
        await result
