"""The codec of packets is told by the packets themselves."""

import pytest

from sfu_wrapper.formats.depacketizers import depacketizer, recognised
from sfu_wrapper.model.codecs import VIDEO_INPUT
from tests.helpers.senders import NAMES, sent

FRAMES = 35  # more than are looked at


def test_every_codec_has_a_sender_to_be_tried_with() -> None:
    assert {NAMES[encoder] for encoder in NAMES} == set(VIDEO_INPUT)


@pytest.mark.parametrize("encoder", NAMES)
def test_every_codec_is_recognised_by_its_packets(encoder: str) -> None:
    packets = [(one.timestamp, memoryview(one.payload)) for _, one in sent(encoder, FRAMES)]

    assert recognised(iter(packets)) == NAMES[encoder]


@pytest.mark.parametrize("encoder", NAMES)
def test_every_depacketizer_finds_the_key_frame_and_its_size(encoder: str) -> None:
    first = [memoryview(one.payload) for _, one in sent(encoder, 1)]

    frame = depacketizer(VIDEO_INPUT[NAMES[encoder]].name).frame(first)

    assert frame is not None
    assert (frame.key, frame.size) == (True, (320, 240))


@pytest.mark.parametrize("payload", [b"\xff" * 40, b"\0"])
def test_packets_of_no_codec_are_not_recognised(payload: bytes) -> None:
    assert recognised([(0, memoryview(payload))]) is None
    assert recognised([]) is None
