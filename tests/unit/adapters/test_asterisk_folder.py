"""Names and files in the folder that Asterisk writes to: nothing leads out of it."""

import os
from itertools import islice
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk.folder import Fate, Folder, _names
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.formats import wav
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium

CONFERENCE = ConfbridgeId("conf")
CAPTURE = CaptureRef(RoomUuid("uuid"), SegmentNo(1), Medium.AUDIO)
FIRST, SECOND = tuple(islice(_names(CAPTURE, CONFERENCE), 2))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "mixes" / "uuid").mkdir(parents=True)
    return Folder(tmp_path / "mixes", "/theirs")


async def test_the_name_of_a_broken_link_is_not_used_for_a_mix(
    folder: Folder, tmp_path: Path
) -> None:
    """Asterisk would create the file that the link names, anywhere."""
    (tmp_path / "mixes" / FIRST).symlink_to(tmp_path / "elsewhere.wav")

    assert await folder.fresh_name(CAPTURE, CONFERENCE, set()) == SECOND


async def test_neither_a_link_nor_a_pipe_counts_as_a_mix(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "whole.wav").write_bytes(wav.header(16_000, rate=8_000) + bytes(16_000))
    (tmp_path / "mixes" / FIRST).symlink_to(tmp_path / "whole.wav")
    os.mkfifo(tmp_path / "mixes" / SECOND)

    assert [await folder.fate(name) for name in (FIRST, SECOND)] == [Fate.MISSING] * 2
    assert not await folder.holds(FIRST)
    assert await folder.found(CAPTURE, CONFERENCE) == ()


async def test_a_mix_that_asterisk_has_closed_is_whole(folder: Folder, tmp_path: Path) -> None:
    file = tmp_path / "mixes" / FIRST
    file.write_bytes(wav.header(16_000, rate=8_000) + bytes(16_000))

    assert await folder.fate(FIRST) is Fate.WHOLE
    assert await folder.audio_ms(FIRST) == 1_000
