"""One sender's packets out of a recording that also holds what is not his."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.formats.stream import MediaPacket, MediaStream

HZ = 90_000
FRAME = 33 * 90  # ticks
HEADER = mjr.Header(
    mjr.Kind.VIDEO, "vp8", 1, 2, extensions=((3, rtp.VIDEO_ORIENTATION), (4, "urn:other"))
)


def packet(number: int, ssrc: int = 1, extensions: tuple[tuple[int, bytes], ...] = ()) -> bytes:
    return rtp.encode(
        rtp.Packet(
            payload=number.to_bytes(4, "big"),
            sequence=number % 65536,
            timestamp=number * 3000 % 2**32,
            ssrc=ssrc,
            payload_type=96,
            marker=True,
            extensions=extensions,
        )
    )


def read(
    frames: list[tuple[int, bytes]], header: mjr.Header = HEADER
) -> tuple[MediaStream, list[tuple[MediaPacket, bytes]]]:
    data = mjr.encode_header(header) + b"".join(mjr.encode_frame(*frame) for frame in frames)
    stream = MediaStream(mjr.Reader(data), HZ)
    return stream, [(found, data[found.start : found.end]) for found in stream.packets()]


def numbers(found: list[tuple[MediaPacket, bytes]]) -> list[int]:
    return [int.from_bytes(payload, "big") for _, payload in found]


def test_packets_come_with_their_payload_and_time() -> None:
    stream, found = read([(n * 33, packet(n)) for n in range(65_530, 65_600)])
    assert numbers(found) == list(range(65_530, 65_600))
    steps = [b.time - a.time for (a, _), (b, _) in itertools.pairwise(found)]
    assert set(steps) == {3000}
    assert (stream.received, stream.lost, stream.foreign) == (70, 0, 0)


def test_interspersed_packets_of_others_are_left_out_in_any_order() -> None:
    frames = [(0, packet(900, ssrc=9))]
    for n in range(100):
        frames.append((n * 33, packet(n)))
        if n % 3 == 0:
            frames.append((n * 33, packet(n, ssrc=9)))
    stream, found = read(frames)
    assert numbers(found) == list(range(100))
    assert (stream.foreign, stream.late, stream.jumps) == (35, 0, 0)
    assert stream.restarts == 0


def test_what_is_no_rtp_is_left_out() -> None:
    cut_extension = b"\x90\x60" + packet(51)[2:12]
    junk = [b"", b"short", b"\x00" * 40, cut_extension]
    frames = [(n * 33, packet(n)) for n in range(50)] + [(1650, data) for data in junk]
    stream, found = read(frames)
    assert numbers(found) == list(range(50))
    assert stream.foreign == len(junk)


def test_a_packet_of_the_stream_that_cannot_be_read_is_missing() -> None:
    spoilt = bytearray(packet(20))
    spoilt[0] |= 0x20  # padding of a length that cannot be
    frames = [(n * 33, bytes(spoilt) if n == 20 else packet(n)) for n in range(50)]
    stream, found = read(frames)
    assert [number for number in range(50) if number not in numbers(found)] == [20]
    assert [found[n][0].gap for n in (19, 20, 21)] == [False, True, False]
    assert (stream.received, stream.lost, stream.foreign) == (49, 1, 1)


def test_a_burst_that_is_sent_again_after_a_second_moves_nothing_of_a_fast_stream() -> None:
    a_second = 2_000
    received = [(n / a_second, packet(n)) for n in range(2 * a_second)]
    lost = range(100, 130)
    received = [(at + 1 if n in lost else at, data) for n, (at, data) in enumerate(received)]
    received.sort(key=lambda one: one[0])
    stream, found = read([(round(at * 1000), data) for at, data in received])
    assert numbers(found) == list(range(2 * a_second))
    assert (stream.lost, stream.late, stream.restarts) == (0, 0, 0)


def test_a_sender_that_goes_on_under_another_ssrc_is_followed_at_the_time_of_receipt() -> None:
    frames = [(n * 33, packet(n)) for n in range(50)]
    frames += [(5000 + n * 33, packet(7000 + n, ssrc=2)) for n in range(50)]
    stream, found = read(frames)
    assert numbers(found) == [*range(50), *range(7000, 7050)]
    new = found[50][0]
    assert new.gap
    assert abs(new.time / HZ - 5) < 0.01
    assert stream.restarts == 1


@pytest.mark.parametrize("damaged", [0, 50, 98], ids=["first", "middle", "last but one"])
def test_a_damaged_time_of_receipt_moves_nothing(damaged: int) -> None:
    times = [n * 33 for n in range(100)]
    times[damaged] |= 1 << 31
    _, found = read([(ms, packet(n)) for n, ms in enumerate(times)])

    steps = [b.time - a.time for (a, _), (b, _) in itertools.pairwise(found)]
    assert found[0][0].time <= 33 * 90
    assert set(steps[1:]) == {3000}


def test_a_time_of_receipt_is_believed_where_nothing_follows_that_says_otherwise() -> None:
    """A long silence before the last packet, and one before something that is no frame."""
    frames = [(n * 33, packet(n)) for n in range(10)]
    late = [*frames, (600_000, packet(10))]
    for tail in (b"", b"no frame at all"):
        data = mjr.encode_header(HEADER) + b"".join(mjr.encode_frame(*frame) for frame in late)
        times = [found.time for found in MediaStream(mjr.Reader(data + tail), HZ).packets()]
        assert times[-1] == pytest.approx(600_000 * 90, abs=HZ / 10)


def test_too_few_packets_of_another_ssrc_at_the_end_are_not_believed() -> None:
    frames = [(n * 33, packet(n)) for n in range(50)]
    frames += [(2000, packet(5, ssrc=8)), (2000, packet(5, ssrc=7)), (2000, packet(6, ssrc=7))]
    stream, found = read(frames)
    assert len(found) == 50
    assert stream.foreign == 3


def test_the_orientation_is_told_by_the_packets_that_carry_it() -> None:
    turned = ((4, b"\1"), (3, b"\1"))
    frames = [(0, packet(0)), (33, packet(1, extensions=turned)), (66, packet(2))]
    frames.append((99, packet(3, extensions=((4, b"\2"),))))
    _, found = read(frames)
    assert [one.rotation for one, _ in found] == [None, 90, None, None]


def test_garbage_is_counted_once_though_the_beginning_is_looked_at_twice() -> None:
    data = mjr.encode_header(HEADER) + b"garbage" + mjr.encode_frame(0, packet(1))
    reader = mjr.Reader(data)
    assert len(list(MediaStream(reader, HZ).packets())) == 1
    assert reader.skipped_bytes == 7


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=30)), max_size=20))
def test_any_frames_are_survived(frames: list[tuple[int, bytes]]) -> None:
    stream, found = read(frames)
    assert len(found) == stream.received <= len(frames)


def test_an_empty_recording_has_no_packets() -> None:
    assert list(MediaStream(mjr.Reader(b""), HZ).packets()) == []


def test_the_packets_of_one_frame_share_their_time() -> None:
    two = [(0, packet(1)), (0, packet(2)[:4] + packet(1)[4:])]
    _, found = read(two)
    assert [one.time for one, _ in found] == [0, 0]


def with_a_source(data: bytes) -> bytes:
    """The same packet, if it is one, as a mixer would send it on: a shape that is never usual."""
    if len(data) < 12 or data[0] & 0xC0 != 0x80 or data[0] & 0x0F:
        return data
    return bytes([data[0] | 1]) + data[1:12] + bytes(4) + data[12:]


def recorded(chance: random.Random) -> list[tuple[int, bytes]]:
    """A few hundred packets, most of them in order, with everything that can happen in between."""
    number, ticks, ms, frames = chance.choice([0, 65_400]), 0, 0, list[tuple[int, bytes]]()
    extensions = [b"\xbe\xde\0\1\x41ab\0", b"\xbe\xde\0\1\x30\1\0\0", b"", b"ab\0\1"]
    trouble = chance.choice([0, 0.02, 0.1])
    for _ in range(300):
        odd = chance.random() < trouble
        number += chance.choice([0, -1, 2, 3, 700, 40_000]) if odd else 1
        ticks += chance.choice([0, 0, 3000]) + (2**31 if chance.random() < trouble / 4 else 0)
        ms += chance.choice([0, 33]) + (9000 if chance.random() < trouble / 4 else 0)
        flags = chance.choice([0x90, 0x90, 0x80] if not odd else [0xB0, 0xA0, 0x40, 0x90])
        head = bytes([flags, chance.choice([96, 224])]) + (number % 2**16).to_bytes(2, "big")
        head += (ticks % 2**32).to_bytes(4, "big") + bytes([0, 0, 0, 1])
        extension = chance.choice(extensions) if flags & 0x10 else b""
        frames.append((ms, head + extension + chance.randbytes(chance.randrange(4))))
    for _ in range(round(300 * trouble)):
        at = chance.randrange(300)
        late = frames[at] if chance.random() < 0.5 else frames.pop(at)  # doubled, or overtaken
        frames.insert(at + chance.randrange(4), late)
    for _ in range(round(40 * trouble)):
        at, rows = chance.randrange(len(frames)), chance.choice([1, 1, 5, 60])
        for place in range(at, min(at + rows, len(frames))):  # another sender, who may take over
            ms, data = frames[place]
            frames[place] = ms, data[:11] + bytes([2]) + data[12:]
    return frames


@given(st.integers(0, 2**32), st.booleans())
def test_whatever_the_shape_of_packets_their_stream_is_the_same(seed: int, turning: bool) -> None:
    frames = recorded(random.Random(seed))  # noqa: S311 - nothing secret
    header = HEADER if turning else replace(HEADER, extensions=())

    usual, found = read(frames, header)
    unusual, same = read([(at, with_a_source(data)) for at, data in frames], header)

    assert [(packet._replace(start=0, end=0), data) for packet, data in found] == [
        (packet._replace(start=0, end=0), data) for packet, data in same
    ]
    for name in ("received", "foreign", "lost", "late", "restarts", "jumps", "drift"):
        assert getattr(usual, name) == getattr(unusual, name), name


def numbered(number: int, sequence: int, ticks: int, payload: bytes = b"") -> bytes:
    """A packet whose payload tells its number, whatever else it says."""
    return rtp.encode(
        rtp.Packet(
            payload=payload or number.to_bytes(4, "big"),
            sequence=sequence % 65536,
            timestamp=ticks % 2**32,
            ssrc=1,
            payload_type=96,
            marker=True,
        )
    )


@pytest.mark.parametrize("back", [5, 50, 300, 1_500, 30_000])
@pytest.mark.parametrize("ticks", ["go on", "begin again", "are others"])
def test_a_sender_that_begins_its_numbers_again_loses_no_packet(back: int, ticks: str) -> None:
    at = {"go on": 0, "begin again": back * FRAME, "are others": 987_654_321}[ticks]
    frames = [(n * 33, numbered(n, 4_000 + n, n * FRAME)) for n in range(1_600)]
    frames += [(n * 33, numbered(n, 4_000 + n - back, n * FRAME - at)) for n in range(1_600, 2_000)]
    stream, found = read(frames)
    assert numbers(found) == list(range(2_000))
    assert [round(one.time / HZ - n * 0.033) for n, (one, _) in enumerate(found)] == [0] * 2_000
    assert (stream.lost, stream.late, stream.restarts) == (0, 0, 1)
    assert [n for n, (one, _) in enumerate(found) if one.gap] == (
        [] if ticks == "go on" else [1600]
    )


def test_copies_of_many_packets_are_left_out_where_only_their_contents_tell() -> None:
    frames = [(n * 33, numbered(n, n, n * 3000)) for n in range(400)]
    frames[300:300] = [(300 * 33, data) for _, data in frames[250:300]]
    stream, found = read(frames)
    assert numbers(found) == list(range(400))
    assert (stream.late, stream.restarts) == (50, 0)


@pytest.mark.parametrize("jump", [3_000, 20_000, 32_000, 45_000])
def test_a_leap_of_the_numbers_is_no_loss(jump: int) -> None:
    frames = [(n * 33, numbered(n, n + (jump if n >= 100 else 0), n * 3000)) for n in range(300)]
    stream, found = read(frames)
    assert numbers(found) == list(range(300))
    assert (stream.lost, stream.restarts) == (0, 1)


def test_a_leap_that_a_window_could_hold_is_no_loss_either() -> None:
    frames = [(n * 33, numbered(n, n + (900 if n >= 100 else 0), n * 3000)) for n in range(300)]
    stream, found = read(frames)
    assert (numbers(found), stream.lost) == (list(range(300)), 0)
    assert found[100][0].gap


@pytest.mark.parametrize("pause", [30, 60, 150, 3_000])
def test_numbers_that_are_missing_over_a_pause_of_their_length_are_not_lost(pause: int) -> None:
    kept = [n for n in range(90 + pause + 90) if not 90 <= n < 90 + pause]
    stream, found = read([(n * 33, packet(n)) for n in kept])
    assert numbers(found) == kept
    assert (stream.lost, stream.restarts) == (0, 0)
    assert [n for n, (one, _) in zip(kept, found, strict=True) if one.gap] == [90 + pause]


def test_what_is_lost_within_a_second_or_from_a_pause_is_told_as_lost() -> None:
    burst = [n for n in range(400) if not 100 <= n < 120]
    assert read([(n * 33, packet(n)) for n in burst])[0].lost == 20
    paused = [(n * 33 + (5_000 if n >= 100 else 0), packet(n)) for n in range(200) if n != 100]
    assert read(paused)[0].lost == 1


def test_time_in_which_nothing_useful_came_is_measured() -> None:
    frames = [(n * 33, packet(n)) for n in range(100)]
    others = [(3_300 + n * 100, packet(n * 77, ssrc=50 + n)) for n in range(60)]
    stream, _ = read([*frames, *others, *((9_300 + n * 33, packet(100 + n)) for n in range(100))])
    assert stream.foreign == 60
    assert 4_500 < stream.unused_ms < 6_000
