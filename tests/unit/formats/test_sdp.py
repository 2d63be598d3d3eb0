"""What is passed on of a browser's descriptions, and what is not."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.sdp import MAX_LINES, plain_candidate, plain_description
from tests.helpers.sdp import AUDIO_SDP, VIDEO_SDP, sdp

SAMPLES = Path(__file__).parents[2] / "samples" / "sdp"
# What an SFU can do without, and what is never passed on.
LEFT_OUT = ("a=msid-semantic", "a=extmap-allow-mixed", "a=rtcp-xr")


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.sdp")), ids=lambda path: path.stem)
def test_what_browsers_write_is_passed_on_but_for_what_is_of_no_use(sample: Path) -> None:
    written = sample.read_text(encoding="utf-8").splitlines()
    medium = "audio" if "audio" in sample.stem else "video"

    kept = plain_description(sample.read_text(encoding="utf-8"), medium).split("\r\n")[:-1]

    assert kept == [line for line in written if not line.startswith(LEFT_OUT)]


def test_it_is_the_same_when_it_is_read_again() -> None:
    once = plain_description(VIDEO_SDP.replace("\r\n", "\n"), "video")

    assert once == plain_description(once, "video") == VIDEO_SDP


@pytest.mark.parametrize("name", ["rid:1 send", "simulcast:send 1", "x-anything:%n", "bundle-only"])
def test_attributes_that_are_not_known_are_left_out(name: str) -> None:
    assert plain_description(f"{VIDEO_SDP}a={name}\r\n", "video") == VIDEO_SDP


@pytest.mark.parametrize(
    "line",
    [
        "a=extmap:0 urn:x",
        "a=extmap:256 urn:x",
        "a=extmap:1000 urn:x",
        "a=rtpmap:128 VP8/90000",
        "a=rtpmap:96 %s%n/90000",
        "a=fmtp:96 x=%s",
        "a=fmtp:96 " + "A" * 600,
        "a=ssrc:4294967296 cname:x",
        "a=ssrc-group:SIM 1 2 3",
        "a=mid:" + "a" * 17,
        "a=ice-ufrag:a",
        "a=ice-pwd:short",
        "a=fingerprint:sha-256 AB",
        "a=setup:holdconn",
        "a=rtcp:65536 IN IP4 0.0.0.0",
        "a=candidate:1 1 udp 1 h 65536 typ host",
        "a=candidate:1 1 udp 1 h 1 typ nobody",
        "a=mid:0\x00",
        "a=rtpmap:\u0669\u0666 VP8/90000",  # digits, but not of ASCII
        "a=ssrc:1 cname:\u212a",  # a sign that folds to k
        "b=AS:-1",
        "k=clear:x",
        "o=- 1 2 IN IP4 127.0.0.1",
        "",
        "ä",
    ],
)
def test_what_is_known_and_not_well_formed_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not well formed"):
        plain_description(f"{VIDEO_SDP}{line}\r\na=mid:0\r\n", "video")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=0",
        "v=1" + VIDEO_SDP[3:],
        VIDEO_SDP.replace("s=-", "s=" + "x" * 65),
        AUDIO_SDP,
        sdp(),
        sdp("video", "video"),
        sdp("video", "audio"),
        sdp("application"),
        VIDEO_SDP.replace("SAVPF 96", "SAVPF 128"),
        VIDEO_SDP.replace("SAVPF", "SAVP"),
        VIDEO_SDP + "a=sendonly\r\n" * MAX_LINES,
    ],
)
def test_what_is_no_description_of_one_such_stream_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        plain_description(text, "video")


def test_a_fingerprint_of_another_kind_is_left_out_beside_the_one_that_counts() -> None:
    ours = f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"

    assert plain_description(f"{VIDEO_SDP}{ours}a=fingerprint:sha-512 AB:CD\r\n", "video") == (
        VIDEO_SDP + ours
    )


def test_a_candidate_alone_has_the_same_shape() -> None:
    good = (
        "candidate:1 1 udp 2122260223 127.0.0.2 50000 typ host generation 0 ufrag 4ZcD network-id 1"
    )

    assert plain_candidate(good) == good
    for bad in ("", "candidate:", f"{good} x y", good.replace("2122260223", "4294967296")):
        with pytest.raises(ValueError, match="candidate is not well formed"):
            plain_candidate(bad)


_SHAPES = re.compile(r"[vosctbma]=[ -~]*")


@given(st.lists(st.sampled_from(VIDEO_SDP.split("\r\n")) | st.text(max_size=40), max_size=12))
def test_whatever_comes_in_only_plain_lines_come_out(lines: list[str]) -> None:
    try:
        found = plain_description("\r\n".join(lines), "video")
    except ValueError:
        return

    assert all(_SHAPES.fullmatch(line) for line in found.split("\r\n")[:-1])
    assert found.count("m=") == 1
