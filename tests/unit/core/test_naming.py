"""What finished files are called."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.naming import (
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    VideoName,
    folder,
    format_fault,
    further_stems,
    quote_filename,
    require_names,
    stem,
    video_stems,
)
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import SegmentInfo
from tests.helpers.builders import segment_info

DEFAULT = "rec-{{year}}{{month}}{{day}}-{{hours}}{{minutes}}{{seconds}}-{{uuid}}-{{confbridgeid}}"


def info(uuid: str = "61408347", bridge: str = "c48eb251", segment: int | None = 1) -> SegmentInfo:
    started_ms = 1_590_392_548_933  # 2020-05-25T07:42:28.933Z
    return segment_info(uuid, segment, bridge=bridge, started_ms=started_ms)


def camera(user: str) -> VideoName:
    return VideoName(UserId(user), Stream.CAMERA)


def screen(user: str) -> VideoName:
    return VideoName(UserId(user), Stream.SCREEN)


def test_a_segment_is_numbered_behind_the_products_name() -> None:
    assert stem(DEFAULT, info()) == "rec-20200525-074228-61408347-c48eb251-1"


def test_an_older_senders_recording_has_no_number() -> None:
    assert stem(DEFAULT, info(segment=None)) == "rec-20200525-074228-61408347-c48eb251"


def test_the_number_stands_where_the_format_has_it() -> None:
    assert stem("{{segment}}-of-{{uuid}}", info(segment=3)) == "3-of-61408347"
    assert stem("{{segment}}-of-{{uuid}}", info(segment=None)) == "1-of-61408347"


def test_the_products_other_pattern_is_had_by_configuring_it() -> None:
    name = stem("recording-{{confbridgeid}}-{{uuid}}", info(segment=None))

    assert name == "recording-c48eb251-61408347"


def test_a_split_recording_has_a_folder_of_its_own() -> None:
    assert folder(info()) == "61408347-c48eb251"


def test_a_users_video_has_the_user_in_place_of_the_recording() -> None:
    videos = [camera("5dde2b2f"), screen("5dde2b2f"), camera("5dde2b2f"), camera("5f2av441")]

    assert video_stems(DEFAULT, info(), videos) == (
        "rec-20200525-074228-5dde2b2f-1",
        "rec-20200525-074228-5dde2b2f-1-screen",
        "rec-20200525-074228-5dde2b2f-1-2",
        "rec-20200525-074228-5f2av441-1",
    )


def test_where_the_format_has_no_such_pair_the_user_is_appended() -> None:
    assert video_stems("{{uuid}}", info(), [camera("bob")]) == ("61408347-bob-1",)


def test_no_two_streams_share_a_file_however_their_users_are_called() -> None:
    pair_alone = "{{segment}}-{{uuid}}-{{confbridgeid}}"
    videos = [camera("a"), camera("a"), camera("a-2"), screen("a"), camera("a-screen")]

    assert len(set(video_stems(pair_alone, info(), videos))) == len(videos)


@pytest.mark.parametrize("value", ["../up", "a/b", "a\0b", "..", ".", "a\nb"])
@pytest.mark.parametrize(
    "name", [lambda v: stem(DEFAULT, info(uuid=v)), lambda v: folder(info(bridge=v))]
)
def test_a_value_that_would_leave_the_folder_fails_the_job(
    value: str, name: Callable[[str], str]
) -> None:
    with pytest.raises(JobFailed) as caught:
        name(value)

    assert (caught.value.code, caught.value.permanent) == ("UNSAFE_NAME", True)


def test_a_name_too_long_for_a_file_system_fails_the_job() -> None:
    with pytest.raises(JobFailed, match="cannot be a file name"):
        stem(DEFAULT, info(uuid="x" * 250))


def test_a_taken_name_gets_the_uuid_and_then_numbers() -> None:
    choices = further_stems(info())

    assert [next(choices) for _ in range(4)] == ["", "-61408347", "-61408347-2", "-61408347-3"]
    assert stem("{{confbridgeid}}", info(), "-61408347") == "c48eb251-1-61408347"


def test_plain_user_ids_stay_readable() -> None:
    assert quote_filename("alice.smith@example-1") == "alice.smith@example-1"


@pytest.mark.parametrize(
    ("user", "safe"),
    [("..", "%2E."), ("a/b", "a%2Fb"), ("a%2Fb", "a%252Fb"), ("é", "%C3%A9"), ("", "")],
)
def test_what_is_not_plain_is_written_as_bytes(user: str, safe: str) -> None:
    assert quote_filename(user) == safe


users = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@given(users, users)
def test_user_ids_are_made_safe_one_to_one(a: str, b: str) -> None:
    assert (quote_filename(a) == quote_filename(b)) == (a == b)


@given(st.lists(st.builds(VideoName, users.map(UserId), st.sampled_from(list(Stream))), max_size=8))
def test_video_names_are_different_and_single_plain_components(videos: list[VideoName]) -> None:
    names = video_stems(DEFAULT, info(), videos, "-61408347")

    assert len(set(names)) == len(videos)
    for name in names:
        assert "/" not in name
        assert name.isascii()
        assert name.isprintable()
        assert len(f"{name}.webm.gpg") <= MAX_NAME_BYTES


def test_a_user_is_cut_only_where_it_is_too_long() -> None:
    assert quote_filename("u" * 96) == "u" * 96
    cut = quote_filename("u" * 97)
    assert cut.startswith("u" * 24 + "~")
    assert len(cut) == 24 + 1 + 64


def refused(make: Callable[[], object]) -> tuple[str, str, bool, str]:
    with pytest.raises(JobFailed) as caught:
        make()
    failed = caught.value
    return failed.stage, failed.code, failed.permanent, failed.detail


def test_a_name_that_leaves_no_room_for_its_ending_is_refused() -> None:
    longest = MAX_NAME_BYTES - len("-screen") - 9
    assert stem("x" * longest, info(segment=None)) == "x" * longest

    long = "x" * (longest + 1)
    detail = f"{'x' * 80!r} cannot be a file name"
    assert refused(lambda: stem(long, info(segment=None))) == (
        "event", "UNSAFE_NAME", True, detail,
    )  # fmt: skip


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_is_a_folder_is_refused(name: str) -> None:
    assert refused(lambda: stem(name, info(segment=None)))[1] == "UNSAFE_NAME"


def test_a_value_that_leaves_its_folder_is_named() -> None:
    detail = "uuid 'a/b' cannot be part of a file name"
    assert refused(lambda: stem("{{uuid}}", info(uuid="a/b"))) == (
        "event", "UNSAFE_NAME", True, detail,
    )  # fmt: skip
    assert refused(lambda: folder(info(uuid="a/b")))[3] == detail
    assert refused(lambda: list(further_stems(info(uuid="a/b"))))[3] == detail
    for make in (lambda: stem("x", info(bridge="..")), lambda: folder(info(bridge=".."))):
        assert refused(make)[3] == "confbridgeid '..' cannot be part of a file name"


def test_of_two_pairs_the_first_is_the_users() -> None:
    twice = "{{uuid}}-{{confbridgeid}}_{{uuid}}-{{confbridgeid}}"

    assert video_stems(twice, info(), [camera("bob")]) == ("bob_61408347-c48eb251-1",)


def raw(filename: str, stream: Stream = Stream.CAMERA) -> RawFile:
    return RawFile(filename, stream, 0, 1, user=UserId("alice"))


@pytest.mark.parametrize("name", ["v" * 255 + ".mjr", "é" * 128, "room/" + "v" * 256 + "/a.mjr"])
@pytest.mark.parametrize("stream", [Stream.CAMERA, Stream.AUDIO])
def test_a_raw_name_that_no_file_can_have_is_refused_before_any_work(
    name: str, stream: Stream
) -> None:
    named = (raw(name, stream),)
    files = replace(info(), audio=named) if stream is Stream.AUDIO else replace(info(), video=named)

    stage, code, permanent, detail = refused(lambda: require_names(DEFAULT, files, split=False))
    assert (stage, code, permanent) == ("event", "UNSAFE_NAME", True)
    assert "too long for a file name" in detail
    assert len(detail) < 500


def test_a_raw_path_that_no_system_opens_is_refused() -> None:
    path = "/".join(["v" * 250] * 16)
    assert len(path) > MAX_PATH_BYTES
    deep = replace(info(), video=(raw(path),))

    assert refused(lambda: require_names(DEFAULT, deep, split=False))[1] == "UNSAFE_NAME"


def test_the_longest_names_that_can_be_opened_are_fine() -> None:
    files = (raw("é" * 125 + "x.mjr"), raw("/".join(["v" * 249] * 16)))

    require_names(DEFAULT, replace(info(), video=files), split=True)


def test_ids_too_long_for_the_results_names_are_refused_before_any_work() -> None:
    long = info(uuid="u" * 200, bridge="c" * 60)
    short = "{{segment}}-{{uuid}}"

    assert refused(lambda: require_names(DEFAULT, long, split=False))[1] == "UNSAFE_NAME"
    require_names(short, long, split=False)
    assert refused(lambda: require_names(short, long, split=True))[1] == "UNSAFE_NAME"


def test_a_user_is_shortened_where_the_name_has_no_room_for_all_of_it() -> None:
    beside = "recording-{{confbridgeid}}-{{uuid}}"
    room = info(uuid="u" * 36, bridge="c" * 128)
    users = [f"{n}{'x' * 90}@example" for n in range(3)]
    names = video_stems(beside, room, [camera(user) for user in (*users, users[0])])

    assert len(set(names)) == 4
    assert names[3] == f"{names[0]}-2"
    assert names[0].startswith(f"recording-{'c' * 128}-{'u' * 36}-0xxxxxxx~")


def test_an_id_too_long_beside_every_user_is_refused_where_files_bear_users() -> None:
    long = replace(info(uuid="u" * 172), video=(raw("a.mjr"),))
    beside = "{{uuid}}-" + "x" * 60

    require_names(beside, long, split=False)
    assert refused(lambda: require_names(beside, long, split=True))[1] == "UNSAFE_NAME"


@pytest.mark.parametrize("fileformat", ["...", " ", ". .", ""])
def test_a_format_of_dots_and_spaces_makes_no_name(fileformat: str) -> None:
    assert format_fault(fileformat) == ("must make a file name: it has nothing but dots and spaces")


def test_a_format_that_is_too_long_for_the_longest_ids_is_told() -> None:
    pairs = "-{{uuid}}-{{confbridgeid}}"
    fault = "makes names longer than 255 bytes for the longest ids (128 characters): shorten it"

    assert format_fault(DEFAULT) is None
    assert format_fault("recording-{{confbridgeid}}-{{uuid}}") is None
    assert format_fault("x" * 250) == fault
    assert format_fault("rec" + pairs * 2) == fault


@given(st.text("ab.é -", max_size=200), st.sampled_from(["", "{{uuid}}", "{{confbridgeid}}"]))
def test_a_format_without_fault_names_every_file_of_the_longest_room(text: str, field: str) -> None:
    fileformat = text + field
    room = replace(info(uuid="u" * 36, bridge="c" * 128, segment=999_999), video=(raw("a.mjr"),))

    if format_fault(fileformat) is None:
        require_names(fileformat, room, split=False)
        distinct = next(name for name in further_stems(room) if name)
        assert len(f"{stem(fileformat, room, distinct)}.webm.gpg".encode()) <= MAX_NAME_BYTES
