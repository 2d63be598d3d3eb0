"""Which frames are kept: whole ones with everything they refer to, at their own times."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.assemble import (
    KEY_FRAME_TIMEOUT_S,
    Assembler,
    TimedFrame,
    decoding_times,
)
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.formats.stream import MediaPacket
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ

STEP = VIDEO_CLOCK_HZ // 10
WRAP = 128


class Toy:
    """Payloads are text: 'K' or 'D' begins a frame, '-' goes on, a digit after it numbers it."""

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        text = b"".join(payloads).decode()
        if text[0] == "P":
            return CodedFrame(b"", key=False)
        if text[0] not in "KD":
            return None
        serial = int(text[1:].strip("-")) if text[1:].strip("-") else None
        return CodedFrame(text.encode(), text[0] == "K", None, serial, WRAP)


def assemble(*packets: str, end: str = "!") -> tuple[list[str], Assembler]:
    """Each packet as 'TIME TEXT', TEXT ending in '!' with a marker, beginning with '?' after a gap.

    A text of only '_' is padding.
    """
    buffer, made = bytearray(), list[MediaPacket]()
    for packet in packets:
        number, text = packet.split()
        gap, marker = text.startswith("?"), text.endswith(end)
        payload = text.strip("?!_R").encode()
        start = len(buffer)
        buffer += payload
        rotation = 90 if "R" in text else None
        made.append(MediaPacket(int(number) * STEP, start, len(buffer), marker, gap, rotation))
    assembler = Assembler(made, bytes(buffer), Toy())
    return [f"{s.time // STEP}{s.frame.data.decode()}" for s in assembler.frames()], assembler


def test_the_packets_of_one_timestamp_are_one_frame() -> None:
    frames, _ = assemble("0 K", "0 -", "0 -!", "1 D!", "3 D", "3 -!")
    assert frames == ["0K--", "1D", "3D-"]


def test_what_comes_before_the_first_key_frame_is_left_out() -> None:
    frames, assembler = assemble("0 D!", "1 D!", "2 K!", "3 D!")
    assert frames == ["2K", "3D"]
    assert assembler.before_key == 2


def test_a_recording_without_a_key_frame_holds_nothing_for_however_long() -> None:
    frames, assembler = assemble(*(f"{n} D!" for n in range(100)))
    assert frames == []
    assert assembler.before_key == 100


def test_after_a_loss_nothing_is_shown_until_the_next_key_frame() -> None:
    frames, assembler = assemble("0 K!", "1 D", "1 ?-!", "2 D!", "3 D!", "4 K!", "5 D!")
    assert frames == ["0K", "4K", "5D"]
    assert (assembler.damaged, assembler.unreferenced) == (1, 2)


def test_where_no_key_frame_comes_for_long_the_whole_frames_since_are_kept() -> None:
    last = 10 * KEY_FRAME_TIMEOUT_S + 5
    packets = ["0 K!", "1 D", "1 ?-!", *(f"{n} D!" for n in range(2, last))]
    frames, assembler = assemble(*packets)
    assert frames == ["0K", *(f"{n}D" for n in range(2, last))]
    assert (
        assembler.smeared == 10 * KEY_FRAME_TIMEOUT_S + 1
    )  # the one that makes it too long is among them
    assert assembler.unreferenced == 0


def test_time_that_stands_still_does_not_make_frames_pile_up() -> None:
    packets = ["0 K!", "1 D", "1 ?-!"]
    packets += [f"{2 + n % 2} D!" for n in range(1500)]
    frames, _ = assemble(*packets)
    assert len(frames) == 1501


def test_a_frame_missing_between_two_whole_ones_is_a_loss_too() -> None:
    frames, _ = assemble("0 K!", "2 ?D!", "3 K!")
    assert frames == ["0K", "3K"]


def test_where_pictures_are_numbered_lost_padding_is_no_loss() -> None:
    frames, _ = assemble("0 K127!", "2 ?D0!", "3 D1!")
    assert frames == ["0K127", "2D0", "3D1"]
    frames, _ = assemble("0 K1!", "2 ?D3!", "3 D4!")
    assert frames == ["0K1"]


def test_a_frame_whose_end_is_missing_is_left_out() -> None:
    frames, assembler = assemble("0 K!", "1 D", "2 ?D!", "3 K!")
    assert frames == ["0K", "3K"]
    assert assembler.damaged == 1


def test_a_frame_without_a_marker_ends_where_the_next_begins() -> None:
    assert assemble("0 K", "1 D", "2 D!")[0] == ["0K", "1D", "2D"]


def test_a_frame_cut_by_the_end_of_the_file_is_left_out_and_is_no_damage() -> None:
    frames, assembler = assemble("0 K!", "1 D")
    assert frames == ["0K"]
    assert (assembler.damaged, assembler.cut) == (0, 0)


def test_a_frame_that_its_sender_cut_is_left_out_with_all_that_refers_to_it() -> None:
    frames, assembler = assemble("0 K!", "1 D!", "2 D", "3 D!", "4 K!", "5 D!")
    assert frames == ["0K", "1D", "4K", "5D"]
    assert (assembler.cut, assembler.unreferenced, assembler.damaged) == (1, 1, 0)


def test_the_very_first_frame_may_be_cut_too() -> None:
    frames, assembler = assemble("0 K", "1 K!", "2 D!")
    assert frames == ["1K", "2D"]
    assert assembler.cut == 1


def test_a_cut_after_many_packets_is_found_as_one_at_the_beginning_is() -> None:
    long = ["0 K", *["0 -"] * 2500, "0 -!"]
    frames, assembler = assemble(*long, *(f"{n} D!" for n in range(1, 50)), "50 D", "51 K!")
    assert (len(frames), assembler.cut) == (51, 1)


def test_lost_packets_after_a_cut_frame_are_not_taken_for_the_cut() -> None:
    _, assembler = assemble("0 K!", "1 D!", "2 D", "3 ?D!", "4 K!")
    assert (assembler.cut, assembler.damaged) == (0, 1)


def test_parameter_sets_without_a_marker_are_no_cut_frame() -> None:
    frames, assembler = assemble("0 K!", "1 P", "2 D!")
    assert frames == ["0K", "2D"]
    assert assembler.cut == 0


def test_a_frame_whose_beginning_is_missing_is_left_out() -> None:
    frames, _ = assemble("0 K!", "1 ?-!", "2 D!", "3 K!")
    assert frames == ["0K", "3K"]


def test_padding_is_no_frame_and_spoils_none() -> None:
    frames, assembler = assemble("0 K!", "0 _", "0 ?_", "1 _", "2 D1!", "2 _")
    assert frames == ["0K"]  # what was lost beside the padding may have been a frame
    assert assembler.damaged == 0
    assert assemble("0 K!", "0 _", "1 _", "2 D!", "2 _")[0] == ["0K", "2D"]


def test_parameter_sets_by_themselves_are_neither_frame_nor_damage() -> None:
    frames, assembler = assemble("0 K!", "1 P!", "2 D!")
    assert frames == ["0K", "2D"]
    assert assembler.damaged == 0
    assert assemble("0 K!", "1 ?P!", "2 D!")[0] == ["0K"]


def test_turns_are_noted_where_the_orientation_changes() -> None:
    _, assembler = assemble("0 K!", "1 DR!", "2 DR!")
    assert assembler.turns == [(STEP, 90)]


def test_nothing_comes_of_nothing() -> None:
    assert assemble()[0] == []


def order(*times: int) -> list[int]:
    """The times of decoding of frames that are shown at these times, in order of sending."""
    frames = [TimedFrame(time, CodedFrame(b"x", key=False)) for time in times]
    found = list(decoding_times(frames))
    assert [one for _, one in found] == frames
    return [decoded for decoded, _ in found]


def test_frames_in_order_are_decoded_when_they_are_shown() -> None:
    assert order() == []
    assert order(0, 10, 20, 20, 35) == [0, 10, 20, 21, 35]
    assert order(*range(0, 1000, 10)) == list(range(0, 1000, 10))


def test_frames_that_others_wait_for_are_decoded_before() -> None:
    assert order(0, 20, 10, 40, 30) == [-1, 0, 10, 20, 30]
    assert order(100, 130, 110, 120, 160, 140, 150) == [99, 100, 110, 120, 130, 140, 150]
    assert order(0, 40, 20, 10, 30) == [-2, -1, 0, 10, 20]


def test_frames_that_step_back_late_in_a_recording_are_decoded_before_too() -> None:
    plain = list(range(0, 1000, 10))
    times = [*plain, 1030, 1010, 1020, 1060, 1040, 1050]
    decoded = order(*times)

    assert decoded[:64] == plain[:64]
    assert decoded[-3:] == [1030, 1040, 1050]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=150), st.data())
def test_decoding_rises_and_never_comes_after_the_display(
    runs: list[int], data: st.DataObject
) -> None:
    times, shown = [0], 0
    for between in runs:  # a frame, then those that are shown before it
        later = [shown + 100 * n for n in range(1, between + 2)]
        shown = later[-1]
        times += [shown, *data.draw(st.permutations(later[:-1]))]
    decoded = order(*times)

    assert decoded == sorted(set(decoded))
    assert all(early <= late for early, late in zip(decoded, times, strict=True))
