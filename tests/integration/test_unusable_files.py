"""Files that cannot be used cost the others nothing, and raw files outlive a poor result."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.storage.local import Folders, LocalStorage
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.segment import Processed, SegmentInfo
from sfu_wrapper.service.worker.processor import Processor
from tests.helpers import merged
from tests.helpers.drawn import Segment, encode, level, levels, packets
from tests.helpers.samples import Received
from tests.helpers.shared_media import shared_media

SPLIT = pytest.mark.parametrize("split", [False, True], ids=["merged", "split"])
RULES = OutputRules("vp8", "low", "rec-{{uuid}}", split=False, mix_limit=9)


def camera(codec: str, seconds: float) -> list[Received]:
    return packets(codec, encode(codec, range(0, round(seconds * 1000), 100)))


def changed_header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Return a damage to a raw file: its header says something else."""

    def damage(file: Path) -> None:
        data = file.read_bytes()
        size = int.from_bytes(data[8:10], "big")
        fields = json.loads(data[10 : 10 + size])
        change(fields)
        text = json.dumps(fields).encode()
        file.write_bytes(data[:8] + len(text).to_bytes(2, "big") + text + data[10 + size :])

    return damage


DAMAGES = {
    "an unknown codec": (changed_header(lambda f: f.update(c="av9")), "UNSUPPORTED_CODEC"),
    "end-to-end encryption": (changed_header(lambda f: f.update(e=True)), "ENCRYPTED_MJR"),
    "no time of the first packet": (changed_header(lambda f: f.pop("u")), "UNREADABLE_MJR"),
    "no time of its opening": (changed_header(lambda f: f.pop("s")), "UNREADABLE_MJR"),
    "no medium": (changed_header(lambda f: f.pop("t")), "UNREADABLE_MJR"),
    "a codec of another format": (changed_header(lambda f: f.update(c="h264")), "UNREADABLE_MJR"),
    "another file type": (lambda file: file.write_bytes(b"RIFF" * 999), "UNREADABLE_MJR"),
}


@SPLIT
@pytest.mark.parametrize("why", DAMAGES)
def test_one_file_that_cannot_be_used_costs_nobody_else_anything(
    tmp_path: Path, why: str, split: bool
) -> None:
    damage, code = DAMAGES[why]
    call = Segment(tmp_path, 3)
    for user, codec in (("alice", "vp8"), ("bob", "vp8"), ("carol", "vp9")):
        call.track(codec, camera(codec, 3), user=user)
    call.tone()
    damage(tmp_path / "0.mjr")

    done = call.process(split=split)

    (missing,) = done.processed.missing
    assert (missing.filename, missing.user, missing.code) == ("0.mjr", "alice", code)
    assert (missing.started_ms, missing.stopped_ms) == (call.at(0), call.at(3))
    (warning,) = [one for one in done.processed.warnings if "0.mjr" in one]
    assert "alice" in warning
    assert missing.reason in warning
    assert [one.user for one in done.processed.sync if one.user] == ["bob", "carol"]
    for number in (0, 1) if split else (0,):
        assert _second_at(done.video(number), 2.5) in (0, 2)  # merged: between the two tiles
    audio = [one.filename for one in done.processed.files if one.kind in ("merged", "audio")]
    assert merged.loudness(merged.decode_audio(Path(audio[0])), 440) > 0.1


def _second_at(file: Path, at_s: float) -> int:
    shown = [seen for second, seen in levels(file) if second <= at_s]
    return round((shown[-1] - level(0)) / 10)


def test_a_segment_fails_only_where_nothing_can_be_used(tmp_path: Path) -> None:
    call = Segment(tmp_path, 2)
    call.track("vp8", camera("vp8", 2))
    DAMAGES["end-to-end encryption"][0](tmp_path / "0.mjr")

    with pytest.raises(JobFailed) as caught:
        call.process()

    assert (caught.value.code, caught.value.permanent) == ("ENCRYPTED_MJR", True)
    assert caught.value.file == "0.mjr"


def test_audio_alone_is_delivered_where_no_video_can_be_used(tmp_path: Path) -> None:
    call = Segment(tmp_path, 2)
    call.track("vp8", camera("vp8", 2))
    call.tone()
    DAMAGES["an unknown codec"][0](tmp_path / "0.mjr")

    done = call.process()

    assert [one.kind for one in done.processed.files] == ["audio"]
    assert [one.filename for one in done.processed.missing] == ["0.mjr"]


class Worker:
    """A worker's processor over the raw files of a call."""

    def __init__(self, folder: Path, media: MediaProcesses, *, split: bool = False) -> None:
        rules = replace(RULES, split=split)
        storage = LocalStorage(Folders(folder, folder, folder / "out"))
        self.processor = Processor(media, storage, rules, SystemClock(), last_attempt=3)

    async def attempt(self, info: SegmentInfo, number: int) -> Processed | JobFailed:
        try:
            return (await self.processor.process(info, attempts=number)).result
        except JobFailed as error:
            return error

    async def clean(self, info: SegmentInfo) -> None:
        await self.processor.clean(info, raw=True)


async def test_the_last_attempt_goes_without_a_file_that_never_came(tmp_path: Path) -> None:
    call = Segment(tmp_path, 2)
    call.track("vp8", camera("vp8", 2))
    call.track("vp8", camera("vp8", 2), user="bob")
    (tmp_path / "0.mjr").unlink()

    with shared_media() as media:
        worker = Worker(tmp_path, media)
        outcomes = [await worker.attempt(call.info, number) for number in (1, 2, 3)]

    assert [one.code for one in outcomes if isinstance(one, JobFailed)] == ["MISSING_FILE"] * 2
    assert isinstance(outcomes[2], Processed)
    assert [one.filename for one in outcomes[2].missing] == ["0.mjr"]


async def test_where_every_video_is_away_the_last_attempt_fails_too(tmp_path: Path) -> None:
    """Storage that is not mounted must not make recordings without video for good."""
    call = Segment(tmp_path, 2)
    call.track("vp8", camera("vp8", 2))
    call.tone()
    (tmp_path / "0.mjr").unlink()

    with shared_media() as media:
        outcome = await Worker(tmp_path, media).attempt(call.info, 3)

    assert isinstance(outcome, JobFailed)
    assert outcome.code == "MISSING_FILE"


async def left(call: Segment, *, split: bool = False) -> set[str]:
    """Process and clean; return the raw files that stay."""
    with shared_media() as media:
        worker = Worker(call.folder, media, split=split)
        outcome = await worker.attempt(call.info, 1)
        assert isinstance(outcome, Processed)
        await worker.clean(call.info)
    return {path.name for path in call.folder.iterdir() if path.is_file()}


@SPLIT
async def test_whole_files_and_those_that_lost_packets_are_removed(
    tmp_path: Path, split: bool
) -> None:
    call = Segment(tmp_path, 4)
    call.track("vp8", camera("vp8", 4))
    lossy = packets("vp8", encode("vp8", range(0, 4000, 66), rough=40), mtu=400)
    call.track("vp8", [one for n, one in enumerate(lossy) if not 60 <= n < 75], user="bob")
    call.tone()

    assert await left(call, split=split) == set()


@SPLIT
async def test_a_file_that_cannot_be_used_stays(tmp_path: Path, split: bool) -> None:
    call = Segment(tmp_path, 2)
    call.track("vp8", camera("vp8", 2))
    call.track("vp8", camera("vp8", 2), user="bob")
    DAMAGES["an unknown codec"][0](tmp_path / "0.mjr")

    assert await left(call, split=split) == {"0.mjr"}


async def test_a_file_of_which_the_result_has_less_than_its_media_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The video file ends with its segment, 3 s before the file does."""
    call = Segment(tmp_path, 5)
    call.track("vp8", camera("vp8", 8))
    call.track("vp8", camera("vp8", 5), user="bob")

    assert await left(call) == {"0.mjr"}
    (line,) = [one for one in caplog.records if one.message == "raw.kept"]
    assert line.__dict__["reason"] == "the result has 5.0 s of its 8.0 s"


async def test_a_file_of_another_sender_s_packets_for_a_while_stays(tmp_path: Path) -> None:
    """Half of the time nothing came but packets of senders who do not go on."""
    received = camera("vp8", 8)
    strange = [
        (ms, replace(one, ssrc=900 + n // 5) if 3_000 <= ms < 7_000 else one)
        for n, (ms, one) in enumerate(received)
    ]
    call = Segment(tmp_path, 8)
    call.track("vp8", strange)

    assert await left(call) == {"0.mjr"}


async def test_a_file_whose_first_key_frame_comes_late_stays(tmp_path: Path) -> None:
    coded = encode("vp8", range(0, 6000, 100), keys_ms=[3000])
    call = Segment(tmp_path, 6)
    call.track("vp8", packets("vp8", coded[1:]))

    assert await left(call) == {"0.mjr"}


async def test_a_mix_that_is_longer_than_its_segment_stays(tmp_path: Path) -> None:
    call = Segment(tmp_path, 6)
    call.tone()
    call.seconds = 4
    call.audio[0] = replace(call.audio[0], stopped_ms=call.at(4))
    call.track("vp8", camera("vp8", 4))

    assert await left(call) == {"mix.wav"}
