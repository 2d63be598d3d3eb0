"""``sfu-wrapper process`` on recordings of a real Janus: what is seen and heard in the files.

The publishers drew a colour and a counter into every frame and sent a tone each; the samples'
``timeline.json`` says who did what when. The rest comes from the raw files' own headers and times.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from sfu_wrapper.adapters.media.preprocess import convert
from sfu_wrapper.core.plan import fit, grid
from sfu_wrapper.model.media import TrackFile
from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.frames import (
    TONES_HZ,
    audible_s,
    counter,
    decode_audio,
    is_black,
    timed_frames,
    whose,
    within,
)

SAMPLES = Path(__file__).parents[1] / "samples"
FRAME_S = 0.04
STAYS_S = {  # from timeline.json, from the start of the segment; who comes first stands first
    "seg-1": {"alice": (0.039, 7.244), "bob": (0.016, 5.27), "carol": (2.161, 7.244)},
    "seg-2": {"alice": (0.058, 3.103), "carol": (0.040, 3.103)},
}

Run = Callable[..., "Output"]


@dataclass(frozen=True, slots=True)
class Output:
    """What one run of the command left: its exit code, its message, its log, the folder."""

    code: int
    message: dict[str, Any]
    log: str
    folder: Path

    def files(self, kind: str) -> list[Path]:
        return [Path(f["filename"]) for f in self.message["files"] if f["kind"] == kind]


def process(event: Path, out: Path, *settings: str, recordings: Path = SAMPLES) -> Output:
    command = [sys.executable, "-m", "sfu_wrapper.cli", "process", str(event), "--json"]
    folders = ["--recordings", str(recordings), "--audio", str(recordings), "--out", str(out)]
    pairs = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(
        [*command, *folders, *pairs], capture_output=True, text=True, timeout=50, check=False
    )
    (line,) = done.stdout.splitlines() or ["{}"]
    return Output(done.returncode, json.loads(line), done.stderr, out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the command on a sample, once for the same settings."""
    known: dict[tuple[str, ...], Output] = {}

    def once(segment: str, *settings: str) -> Output:
        key = (segment, *settings)
        if key not in known:
            event = SAMPLES / segment / "recordingInfo.json"
            known[key] = process(event, tmp_path_factory.mktemp("out"), *settings)
        return known[key]

    return once


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, list[Any]]]:
    """For each user of a segment, when which counter was drawn: (s from the start, counter)."""
    folder = tmp_path_factory.mktemp("raw")

    def read(segment: str) -> dict[str, list[Any]]:
        info = json.loads((SAMPLES / segment / "recordingInfo.json").read_bytes())["recordingInfo"]
        start_us = parse_iso(info["started"]) * 1000
        found = {}
        for user, streams in info["video"].items():
            (file,) = streams["sfuvideo"].values()
            track = convert(SAMPLES / file["filename"], folder / segment)
            assert isinstance(track, TrackFile)
            offset_s = (track.started_us - start_us) / 1e6 - track.ahead_ms / 1e3
            found[user] = [(s.at_s + offset_s, counter(s.rgb)) for s in timed_frames(track.path)]
        return found

    return read


def on_screen(segment: str, at_s: float, slack_s: float) -> list[str] | None:
    """Who must be on screen, in order; None where that is about to change."""
    stays = STAYS_S[segment]
    if any(abs(at_s - edge) < slack_s for stay in stays.values() for edge in stay):
        return None
    return [who for who, (start, stop) in stays.items() if start <= at_s < stop]


@pytest.mark.parametrize("segment", ["seg-1", "seg-2"])
def test_everybody_is_in_their_tile_exactly_while_they_are_there(run: Run, segment: str) -> None:
    (path,) = run(segment).files("merged")
    checked = 0
    for timed in timed_frames(path):
        expected = on_screen(segment, timed.at_s + FRAME_S / 2, 1.5 * FRAME_S)
        if expected is None:
            continue
        checked += 1
        tiles = grid(len(expected), 640, 480)
        places = [fit(tile, 320, 240) for tile in tiles]

        assert [whose(within(timed.rgb, place)) for place in places] == expected, timed.at_s
        assert is_black(within(timed.rgb, grid(4, 640, 480)[3])) or len(expected) < 3

    assert checked > 25 * 2.5


@pytest.mark.parametrize("segment", ["seg-1", "seg-2"])
def test_every_merged_frame_shows_the_raw_frame_of_its_moment(
    run: Run, drawn: Callable[[str], dict[str, list[Any]]], segment: str
) -> None:
    (path,) = run(segment).files("merged")
    numbers = drawn(segment)
    checked = 0
    for timed in timed_frames(path):
        middle_s = timed.at_s + FRAME_S / 2
        for place, user in enumerate(on_screen(segment, middle_s, 1.5 * FRAME_S) or []):
            tiles = grid(len(on_screen(segment, middle_s, 0) or []), 640, 480)
            shown = counter(within(timed.rgb, fit(tiles[place], 320, 240)))
            (seen_s,) = [at_s for at_s, number in numbers[user] if number == shown]
            following = [at_s for at_s, _ in numbers[user] if at_s > seen_s]
            checked += 1

            assert seen_s <= middle_s + 0.001, "a picture came before its time"
            assert not following or following[0] >= middle_s - 0.001, "a picture stayed too long"

    assert checked > 140


@pytest.mark.parametrize("output", ["merged", "audio"])
def test_all_three_tones_are_heard_while_their_owners_are_there(run: Run, output: str) -> None:
    settings = [] if output == "merged" else ["split_recording_output=true"]
    (path,) = run("seg-1", *settings).files(output)
    samples = decode_audio(path)

    for user, (start_s, stop_s) in STAYS_S["seg-1"].items():
        first_s, last_s = audible_s(samples, TONES_HZ[user])
        # The mixer lets a newcomer in a little late and drops what it still held of a leaver.
        assert abs(first_s - start_s) < 0.1, user
        assert -0.2 < last_s - stop_s < 0.1, user


def test_audio_and_video_last_as_long_as_the_segment(run: Run) -> None:
    (path,) = run("seg-1").files("merged")

    with av.open(path) as reader:
        assert [s.codec_context.name for s in reader.streams] == ["vp8", "opus"]
        assert (reader.streams.video[0].width, reader.streams.video[0].height) == (640, 480)
    assert abs(len(decode_audio(path)) / 16_000 - 7.244) < 0.03
    assert len(list(timed_frames(path))) == 182  # 25 a second, the last one begun


def test_the_merged_file_has_chapters_where_the_layout_changes(run: Run) -> None:
    (path,) = run("seg-1").files("merged")

    with av.open(path) as reader:
        titles = [chapter["metadata"]["title"] for chapter in reader.chapters()]
    assert titles == ["alice, bob", "carol joined", "bob left"]


def test_the_split_json_has_the_products_shape(run: Run) -> None:
    output = run("seg-1", "split_recording_output=true")
    (path,) = output.files("metadata")
    told = json.loads(path.read_bytes())

    assert (told["uuid"], told["segment"], told["conferenceId"]) == ("61408347", 1, "conf-1")
    assert told["startTime"] == "2026-11-24T01:47:56.573Z"
    assert told["shouldRecordAudio"] is told["shouldRecordVideo"] is True
    assert {video["userID"]: Path(video["filename"]).name for video in told["videos"]} == {
        "alice": "rec-20261124-014756-alice-1.webm",
        "bob": "rec-20261124-014756-bob-1.webm",
        "carol": "rec-20261124-014756-carol-1.mp4",
    }
    for part in [*told["videos"], told["audio"]]:
        bytes_there = Path(part["filename"]).stat().st_size
        assert part["size"] == f"{bytes_there / 1e6:.6f}MB"
        assert parse_iso(part["startTime"]) < parse_iso(part["stopTime"])
    assert path.parent == output.folder / "61408347-conf-1"
    assert path.name == "rec-20261124-014756-61408347-conf-1-1.json"


def test_split_videos_hold_every_frame_and_start_when_the_json_says(
    run: Run, drawn: Callable[[str], dict[str, list[Any]]]
) -> None:
    (path,) = run("seg-1", "split_recording_output=true").files("metadata")
    told = json.loads(path.read_bytes())
    numbers = drawn("seg-1")

    for video in told["videos"]:
        held = list(timed_frames(Path(video["filename"])))
        start_s = (parse_iso(video["startTime"]) - parse_iso(told["startTime"])) / 1000
        assert [counter(timed.rgb) for timed in held] == [n for _, n in numbers[video["userID"]]]
        assert abs(start_s + held[0].at_s - numbers[video["userID"]][0][0]) < 0.002
        assert {whose(timed.rgb) for timed in held} == {video["userID"]}


def test_the_split_audio_is_a_wav_of_128_kbit_a_second(run: Run) -> None:
    (path,) = run("seg-1", "split_recording_output=true").files("audio")

    with av.open(path) as reader:
        stream = reader.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("pcm_u8", 16000, 1)
    assert abs(path.stat().st_size - 7.244 * 16_000) < 100


def test_a_killed_janus_leaves_a_recording_to_its_last_second(run: Run) -> None:
    output = run("crash")
    (path,) = output.files("merged")

    assert any("ends within a packet" in warning for warning in output.message["warnings"])
    samples = decode_audio(path)
    assert audible_s(samples, TONES_HZ["alice"])[1] > 5.9  # the header says 5.0
    last = list(timed_frames(path))[-1]
    assert whose(last.rgb) == "carol"  # her last second was lost with the process: she is frozen


def test_files_are_for_their_owner_alone_and_nothing_else_is_left(run: Run) -> None:
    output = run("seg-1")
    (path,) = output.files("merged")

    (poster,) = output.files("poster")
    assert {one.stat().st_mode & 0o777 for one in (path, poster)} == {0o600}
    assert {one for one in output.folder.iterdir() if one.name != ".sfu-wrapper"} == {path, poster}
    assert not [one for one in (output.folder / ".sfu-wrapper/work").rglob("*") if one.is_file()]


def test_the_promised_log_lines_stand_word_for_word(run: Run) -> None:
    lines = run("seg-1").log.splitlines()
    said = [line.split(maxsplit=2)[1:] for line in lines]

    assert ["debug", "File encryption is disabled"] in said
    assert ["debug", "Recording started"] in said
    assert ["debug", "Recording with ID 61408347 processed correctly"] in said
    assert [
        "info",
        'FilenameGenerator configured with: {"filenameFormat":"rec-{{year}}{{month}}{{day}}-'
        '{{hours}}{{minutes}}{{seconds}}-{{uuid}}-{{confbridgeid}}"}',
    ] in said
    received = "Received a process recording event with id: conf-1 and recording info {"
    assert [words for words in said if words[1].startswith(received) and words[1].endswith("}.")]
    videos = [words[1] for words in said if words[1].startswith("Processing video: ")]
    assert len(videos) == 3
    assert all(video.endswith("-video-1.mjr.") for video in videos)


def test_processing_again_tells_the_same_and_touches_nothing(run: Run) -> None:
    before = run("seg-2")
    (path,) = before.files("merged")
    stamp = path.stat().st_mtime_ns

    again = process(SAMPLES / "seg-2" / "recordingInfo.json", before.folder)

    assert again.message == before.message
    assert path.stat().st_mtime_ns == stamp


def test_more_streams_than_mix_limit_are_split(run: Run) -> None:
    output = run("seg-1", "mix_limit=2")

    assert output.message["output"] == "split"
    assert output.message["warnings"] == ["3 streams at once, mix_limit 2: split instead of merged"]
    assert len(output.files("video")) == 3


def test_a_missing_video_file_fails_and_may_be_tried_again(tmp_path: Path) -> None:
    event = SAMPLES / "seg-2" / "recordingInfo.json"

    output = process(event, tmp_path / "out", recordings=tmp_path)

    assert output.code == 75
    assert output.message["status"] == "failed"
    assert output.message["error"]["code"] == "MISSING_FILE"
    assert output.message["temporaryFilesKept"] == []  # nothing was made; the event is our own
    assert [one for one in (tmp_path / "out").rglob("*") if one.is_file()] == []


def test_without_video_there_is_a_wav_under_the_same_name(tmp_path: Path) -> None:
    output = process(changed("seg-2", tmp_path, video={}), tmp_path / "out")

    (path,) = output.files("audio")
    assert path.name == "rec-20261124-014805-61408347-conf-1-2.wav"
    assert output.message["output"] == "merged"
    assert audible_s(decode_audio(path), TONES_HZ["carol"])[1] > 2.9


def test_without_audio_there_is_the_video_alone(tmp_path: Path) -> None:
    output = process(changed("seg-2", tmp_path, audio={}), tmp_path / "out")

    (path,) = output.files("merged")
    with av.open(path) as reader:
        assert [stream.type for stream in reader.streams] == ["video"]


def test_a_lost_mix_is_a_warning_and_no_failure(tmp_path: Path) -> None:
    text = (SAMPLES / "seg-2" / "recordingInfo.json").read_text()
    event = tmp_path / "event.json"
    event.write_text(text.replace("seg-2/mix.wav", "seg-2/nothing.wav"))

    output = process(event, tmp_path / "out")

    assert output.code == 0
    assert output.message["warnings"] == [
        "no audio from seg-2/nothing.wav: seg-2/nothing.wav does not exist"
    ]


def test_without_any_media_there_is_no_file_and_a_warning(tmp_path: Path) -> None:
    output = process(changed("seg-2", tmp_path, audio={}, video={}), tmp_path / "out")

    assert (output.code, output.message["output"], output.message["files"]) == (0, "none", [])
    assert output.message["warnings"] == ["no media in the segment"]


def test_with_encryption_asked_for_nothing_plain_is_delivered(tmp_path: Path) -> None:
    event = SAMPLES / "seg-2" / "recordingInfo.json"
    key = tmp_path / "no-such-key.asc"

    output = process(
        event,
        tmp_path / "out",
        "should_encrypt=true",
        "encryption_mail=a@example.org",
        f"encryption_key={key}",
    )

    assert output.code == 1
    assert output.message["error"]["stage"] == "encrypt"
    assert not [one for one in (tmp_path / "out").rglob("*") if one.is_file()]


def changed(segment: str, folder: Path, **change: object) -> Path:
    """The sample's event with other values in its recordingInfo."""
    event = json.loads((SAMPLES / segment / "recordingInfo.json").read_bytes())
    event["recordingInfo"].update(change)
    path = folder / "event.json"
    path.write_text(json.dumps(event))
    return path


def test_people_are_told_the_files_and_the_notes(tmp_path: Path) -> None:
    event = SAMPLES / "crash" / "recordingInfo.json"
    folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES), "--out", str(tmp_path)]
    command = [sys.executable, "-m", "sfu_wrapper.cli", "process", str(event), *folders]

    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)

    title, file, poster, *notes = done.stdout.splitlines()
    assert title == "61408347 segment 3: merged"
    assert file.startswith(f"  {tmp_path}/rec-20261124-014808-61408347-conf-1-3.webm  0.")
    assert poster.startswith(f"  {tmp_path}/rec-20261124-014808-61408347-conf-1-3.jpg  0.")
    assert [note.partition(": ")[2].split(": ")[-1] for note in notes] == [
        "the file ends within a packet",
        "the file ends within a packet",
        "holds 0.131 s less sound than its times say; it cannot be told where",
    ]

    Path(poster.split()[0]).unlink()
    again = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)

    told = again.stdout.splitlines()
    assert told[:2] == [f"{title}, as before", file]
    assert told[2] == f"  {poster.split()[0]}  is not there any more"
    manifest = told[-1].removeprefix("  note: nothing was processed; to process it again remove ")
    assert Path(manifest).is_file()


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_what_is_no_event_is_refused(tmp_path: Path, content: str | None) -> None:
    event = tmp_path / "event.json"
    if content is not None:
        event.write_text(content)

    output = process(event, tmp_path / "out")

    assert output.code == 1
    assert output.message["error"]["code"] == "BAD_REQUEST"
