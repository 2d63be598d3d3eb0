"""The .mjr container: any bytes give a result or a typed error; writing undoes reading."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import mjr
from sfu_wrapper.model.errors import Malformed

SAMPLES = Path(__file__).parents[2] / "samples"
HEADER = mjr.Header(mjr.Kind.VIDEO, "vp8", 1795484876572729, 1795484876612821)

headers = st.builds(
    mjr.Header,
    kind=st.sampled_from(mjr.Kind),
    codec=st.sampled_from(["vp8", "vp9", "h264", "opus", "pcmu"]),
    created_us=st.integers(0, 2**63 - 1),
    started_us=st.integers(0, 2**63 - 1),
    fmtp=st.none() | st.text(max_size=40),
    extensions=st.dictionaries(st.integers(0, 255), st.text(max_size=20), max_size=4).map(
        lambda found: tuple(found.items())
    ),
    encrypted=st.booleans(),
)
frames = st.lists(st.tuples(st.integers(0, mjr.MAX_OFFSET_MS), st.binary(max_size=60)), max_size=8)


def written(header: mjr.Header, content: list[tuple[int, bytes]]) -> bytes:
    parts = [mjr.encode_frame(offset, packet) for offset, packet in content]
    return mjr.encode_header(header) + b"".join(parts)


def read(data: bytes) -> list[tuple[int, bytes]]:
    return [(offset, data[start:end]) for offset, start, end in mjr.Reader(data).frames()]


@given(headers, frames)
def test_what_is_written_is_read_again(
    header: mjr.Header, content: list[tuple[int, bytes]]
) -> None:
    data = written(header, content)
    reader = mjr.Reader(data)
    assert reader.header == header
    assert read(data) == content
    assert (reader.skipped_bytes, reader.truncated) == (0, False)


@given(frames, st.data())
def test_a_file_cut_anywhere_is_a_prefix_of_the_whole(
    content: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = written(HEADER, content)
    cut = data.draw(st.integers(0, len(whole)))
    part = read(whole[:cut])
    assert part == content[: len(part)]
    assert len(read(whole[: cut + 1])) - len(part) in (0, 1)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: mjr.MAGIC + tail))
def test_any_bytes_give_a_result_or_a_typed_error(data: bytes) -> None:
    try:
        reader = mjr.Reader(data)
    except Malformed:
        return
    assert all(0 <= start <= end <= len(data) for _, start, end in reader.frames())


@given(st.lists(st.sampled_from([b"MEET", b"ME", b"\0\0\0\0", b"\0\1", b"\xff\xff", b"x"])))
def test_no_arrangement_of_marks_and_lengths_leads_out_of_the_file(pieces: list[bytes]) -> None:
    data = mjr.encode_header(HEADER) + b"".join(pieces)
    reader = mjr.Reader(data)
    positions = [(start, end) for _, start, end in reader.frames()]
    assert all(start <= end <= len(data) for start, end in positions)
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    "data", [b"", b"M", b"MJR0000", mjr.MAGIC, mjr.MAGIC + b"\0", mjr.MAGIC + b"\0\x20{"]
)
def test_a_file_that_ends_before_its_header_does_holds_nothing(data: bytes) -> None:
    reader = mjr.Reader(data)
    assert reader.header is None
    assert list(reader.frames()) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b"{}",
        b'{"t":"x","c":"vp8","s":1,"u":2}',
        b'{"t":"v","s":1,"u":2}',
        b'{"t":"v","c":8,"s":1,"u":2}',
        b'{"t":"v","c":"vp8","u":2}',
        b'{"t":"v","c":"vp8","s":true,"u":2}',
        b'{"t":"v","c":"vp8","s":1,"u":-2}',
        b'{"t":"v","c":"vp8","s":1,"u":Infinity}',
        b'{"t":"v","c":"vp8","s":1,"u":' + b"9" * 5000 + b"}",
    ],
)
def test_a_header_that_says_nonsense_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        mjr.Reader(mjr.MAGIC + len(text).to_bytes(2, "big") + text)


def test_another_kind_of_file_is_malformed() -> None:
    with pytest.raises(Malformed, match="RIFF"):
        mjr.Reader(b"RIFF----WAVEfmt ")


def test_the_header_is_spelled_as_janus_spells_it() -> None:
    expected = b'{"t": "v", "c": "vp8", "s": 1795484876572729, "u": 1795484876612821}'
    assert mjr.encode_header(HEADER) == b"MJR00002" + len(expected).to_bytes(2, "big") + expected


def test_header_extensions_are_known_by_their_uri_and_nonsense_in_them_is_left_out() -> None:
    fields = {"t": "v", "c": "VP8", "s": 1, "u": 2, "x": {"3": "a", "b": "c", "4": 5, "9999": "d"}}
    text = json.dumps(fields).encode()
    header = mjr.Reader(mjr.MAGIC + len(text).to_bytes(2, "big") + text).header
    assert header is not None
    assert header.extensions == ((3, "a"),)
    assert (header.extension_id("a"), header.extension_id("b")) == (3, None)
    assert header.codec == "vp8"


@pytest.mark.parametrize(
    ("said", "kind"), [(63, 63), (0, 0), (128, None), (-1, None), (True, None), ("63", None)]
)
def test_the_payload_type_of_redundant_audio_is_read(said: object, kind: int | None) -> None:
    text = json.dumps({"t": "a", "c": "opus", "s": 1, "u": 2, "or": said}).encode()
    header = mjr.Reader(mjr.MAGIC + len(text).to_bytes(2, "big") + text).header
    assert header is not None
    assert header.red_type == kind
    if kind:
        assert mjr.Reader(mjr.encode_header(header)).header == header


def test_garbage_between_frames_is_skipped_and_counted() -> None:
    data = written(HEADER, [(0, b"one")]) + b"garbageMEE" + mjr.encode_frame(20, b"two") + b"tail!"
    reader = mjr.Reader(data)
    assert [data[start:end] for _, start, end in reader.frames()] == [b"one", b"two"]
    assert reader.skipped_bytes == len(b"garbageMEE") + len(b"tail!")
    assert not reader.truncated


@pytest.mark.parametrize("kept", [1, 3, 4, 9, 10, 12])
def test_a_truncated_last_frame_is_left_out_and_told(kept: int) -> None:
    data = written(HEADER, [(0, b"one")]) + mjr.encode_frame(20, b"two")[:kept]
    reader = mjr.Reader(data)
    assert [data[start:end] for _, start, end in reader.frames()] == [b"one"]
    assert reader.truncated
    assert reader.skipped_bytes == 0


def test_the_older_form_has_no_times_of_receipt() -> None:
    data = mjr.encode_header(HEADER).replace(b"MJR00002", b"MJR00001")
    data += b"MEETECHO\x00\x03one" + b"MEETECHO\x00\x03two"
    assert not mjr.Reader(data).timed
    assert read(data) == [(0, b"one"), (0, b"two")]


@pytest.mark.parametrize(("offset", "packet"), [(-1, b""), (2**32, b""), (0, bytes(65536))])
def test_a_frame_that_does_not_fit_its_fields_is_refused(offset: int, packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"65535|offset_ms"):
        mjr.encode_frame(offset, packet)


@pytest.mark.parametrize(
    ("name", "codec", "truncated"),
    [
        ("seg-1/videoroom-conf-1-user-alice-1795484876572728-video-1.mjr", "vp8", False),
        ("seg-1/videoroom-conf-1-user-carol-1795484878695706-video-1.mjr", "h264", False),
        ("seg-1/videoroom-conf-1-user-bob-1795484876573143-audio-0.mjr", "opus", False),
        ("crash/videoroom-conf-1-user-alice-1795484888626998-video-1.mjr", "vp8", True),
        ("truncated-9000-bytes.mjr", "vp8", True),
    ],
)
def test_recordings_of_a_real_janus_are_read(name: str, codec: str, truncated: bool) -> None:
    reader = mjr.Reader((SAMPLES / name).read_bytes())
    offsets = [offset for offset, _, _ in reader.frames()]
    assert reader.header is not None
    assert reader.header.codec == codec
    assert offsets[0] == 0
    assert offsets == sorted(offsets)
    assert (reader.truncated, reader.skipped_bytes) == (truncated, 0)


# when the last packet came, from the end of a file alone


def test_the_last_frame_says_when_it_came() -> None:
    frames = b"".join(mjr.encode_frame(ms, b"x" * 100) for ms in (0, 33, 66))

    assert mjr.last_offset_ms(frames) == 66
    assert mjr.last_offset_ms(frames[50:]) == 66  # from the middle of a packet on


def test_a_frame_that_was_cut_does_not_count() -> None:
    frames = mjr.encode_frame(33, b"x" * 100) + mjr.encode_frame(66, b"x" * 100)

    assert mjr.last_offset_ms(frames[:-1]) == 33
    assert mjr.last_offset_ms(frames[:-105]) == 33  # within its head


def test_a_mark_within_a_packet_is_not_taken_for_a_frame() -> None:
    tricky = b"MEET" + bytes(20) + b"MEET\x00\x00\xff\xff\x00\x05"
    frames = mjr.encode_frame(33, tricky) + mjr.encode_frame(66, b"y")

    assert mjr.last_offset_ms(frames[14:]) == 66


def test_without_a_whole_frame_nothing_is_known() -> None:
    assert mjr.last_offset_ms(b"") is None
    assert mjr.last_offset_ms(b"no frame at all") is None
    assert mjr.last_offset_ms(mjr.encode_frame(33, b"x" * 100)[:50]) is None
